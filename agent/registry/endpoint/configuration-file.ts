import { open, readdir } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { ConfigurationError, type TlsSettings } from './endpoint.ts';
import type { ConfiguredHost } from './hosts-toml.ts';

const MAX_BYTES = 2 ** 20;

/**
 * The text of a file; undefined where there is none.
 *
 * @throws ConfigurationError when it cannot be read, or is no file of a sensible size
 */
export async function readConfigurationFile(path: string): Promise<string | undefined> {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      if (size > MAX_BYTES) throw new ConfigurationError('tooLarge', path);
      return await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return undefined;
    throw error instanceof ConfigurationError
      ? error
      : new ConfigurationError('unreadable', path, { cause: error });
  }
}

/** The names in a folder, sorted; undefined where there is none. @throws ConfigurationError */
export async function listConfigurationFolder(path: string): Promise<readonly string[] | undefined> {
  try {
    return (await readdir(path)).sort();
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return undefined;
    throw new ConfigurationError('unreadable', path, { cause: error });
  }
}

/** Reads the certificates that a hosts.toml names. @throws ConfigurationError when one is missing */
export async function readTlsSettings(
  host: Pick<ConfiguredHost, 'ca' | 'client' | 'skipVerify'>,
  hostsFile: string,
): Promise<TlsSettings> {
  const read = (path: string): Promise<string> =>
    mustRead(isAbsolute(path) ? path : join(dirname(hostsFile), path));
  const client = host.client.map(async ([certificate, key]) => ({
    certificate: await read(certificate),
    key: await read(key ?? certificate),
  }));
  return {
    ca: await Promise.all(host.ca.map(read)),
    client: await Promise.all(client),
    skipVerify: host.skipVerify ?? false,
  };
}

/**
 * A folder of certificates as Docker lays it out: NAME.crt is an authority, NAME.cert with NAME.key a
 * client's. Both containerd (where there is no hosts.toml) and CRI-O read it.
 *
 * @throws ConfigurationError
 */
export async function readCertificateFolder(folder: string): Promise<Omit<TlsSettings, 'skipVerify'>> {
  const names = (await listConfigurationFolder(folder)) ?? [];
  const ending = (end: string): readonly string[] => names.filter((name) => name.endsWith(end));
  const client = ending('.cert').map(async (name) => {
    const key = name.replace(/\.cert$/, '.key');
    return {
      certificate: await mustRead(join(folder, name)),
      key: await mustRead(join(folder, names.includes(key) ? key : name)),
    };
  });
  return {
    ca: await Promise.all(ending('.crt').map((name) => mustRead(join(folder, name)))),
    client: await Promise.all(client),
  };
}

async function mustRead(path: string): Promise<string> {
  const text = await readConfigurationFile(path);
  if (text === undefined) throw new ConfigurationError('unreadable', path);
  return text;
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
