import { dirname, join } from 'node:path';
import { readConfigurationFile } from './configuration-file.ts';
import { isTable, readToml, type Table } from './toml.ts';

/**
 * Whether containerd may pull with credentials, or from mirrors, that its config.toml names
 * (docs/cri/registry.md). The file is looked for beside the folders of its `config_path`, where containerd,
 * k3s and RKE2 have it. True wherever that is unknown: no such file, one that names other folders and so
 * is another containerd's, or one that imports more.
 *
 * @throws ConfigurationError
 */
export async function hasRegistrySettings(folders: readonly string[]): Promise<boolean> {
  for (const folder of folders) {
    const file = join(dirname(folder), 'config.toml');
    const text = await readConfigurationFile(file);
    if (text === undefined) continue;
    const root = readToml(text, file);
    const registries = tablesIn(root.plugins).flatMap(({ registry }) =>
      isTable(registry) ? [registry] : [],
    );
    const isOfThisFolder = registries.some(({ config_path: path }) => pathsOf(path).includes(folder));
    return !isOfThisFolder || isFilled(root.imports) || registries.some(namesCredentialsOrMirrors);
  }
  return true;
}

/** The names that this has had: `auths` is containerd 1.2's. */
function namesCredentialsOrMirrors({ mirrors, configs, auths, headers }: Table): boolean {
  if ([mirrors, auths, headers].some(isFilled)) return true;
  return isFilled(configs) && tablesIn(configs).some(({ auth }) => isFilled(auth));
}

function tablesIn(value: unknown): readonly Table[] {
  return isTable(value) ? Object.values(value).filter(isTable) : [];
}

function pathsOf(value: unknown): readonly string[] {
  return typeof value === 'string' ? value.split(':') : [];
}

/** Anything at all in it, of whatever type. */
function isFilled(value: unknown): boolean {
  if (value === undefined) return false;
  return typeof value !== 'object' || value === null || Object.keys(value).length > 0;
}
