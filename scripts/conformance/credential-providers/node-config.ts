import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { lookup, sourcedKeyring } from '../../../agent/credentials/keyring.ts';
import {
  createNodeDockerConfig,
  type DockerConfigOptions,
  placesOf,
} from '../../../agent/credentials/node/docker-config-files.ts';
import type { Vector } from '../vector.ts';
import { compare } from './compare.ts';
import { inTemporaryFolder } from './temporary-folder.ts';

const vector = z.object({
  name: z.string(),
  files: z.record(z.string(), z.string()),
  homeSet: z.boolean(),
  image: z.string(),
  pathsTried: z.array(z.string()),
  found: z.boolean(),
  config: z.record(z.string(), z.looseObject({})).nullish(),
  credentials: z.array(z.looseObject({})),
});

type NodeConfigVector = z.infer<typeof vector>;

/**
 * node-config.json: which docker config file of the node counts, and what it offers. What only kubelet knows
 * (its working directory and home) is handed over as `--docker-config`, in kubelet's order. @throws ZodError.
 */
export function nodeConfigVectors(content: unknown): readonly Vector[] {
  return z
    .array(vector)
    .parse(content)
    .map((recorded) => ({
      name: recorded.name,
      differences: () => inTemporaryFolder((folder) => differences(recorded, folder)),
    }));
}

async function differences(recorded: NodeConfigVector, folder: string) {
  for (const [place, content] of Object.entries(recorded.files)) await put(resolved(folder, place), content);
  const options = optionsFor(folder, recorded.homeSet);
  const { found } = await createNodeDockerConfig(options).read();
  const tried = placesOf(options).map(({ file }) => file);
  const upTo = found ? tried.indexOf(found.file) + 1 : tried.length;
  const source = { kind: 'node', file: '' } as const;
  const offered = lookup(sourcedKeyring(found ? [{ ...found, source }] : []), recorded.image);
  return [
    ...compare('found', recorded.found, found !== undefined),
    ...compare(
      'pathsTried',
      recorded.pathsTried.map((place) => resolved(folder, place)),
      tried.slice(0, upTo),
    ),
    ...compare('config', recorded.config ?? {}, configOf(found?.entries ?? [])),
    ...compare(
      'credentials',
      recorded.credentials,
      offered.map(({ credential, credentialHash }) => ({ ...credential, credentialHash })),
    ),
  ];
}

/** Kubelet's search list; where $HOME is unset its working directory stands for it. */
function optionsFor(folder: string, homeSet: boolean): DockerConfigOptions {
  const [cwd, home, fsroot] = ['cwd', homeSet ? 'home' : 'cwd', 'fsroot'].map((name) => join(folder, name));
  return {
    kubeletRootDir: join(folder, 'rootDir'),
    files: [
      `${cwd}/config.json`,
      `${home}/.docker/config.json`,
      `${fsroot}/.docker/config.json`,
      ...[cwd, home, fsroot].map((directory) => `${directory}/.dockercfg`),
    ],
  };
}

function resolved(folder: string, place: string): string {
  return join(folder, place.replace(/^<(\w+)>/, '$1'));
}

async function put(path: string, content: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  if (content === 'DIRECTORY') await mkdir(path);
  else if (content === 'DANGLING') await symlink(`${path}.nowhere`, path);
  else await writeFile(path, content);
}

function configOf(entries: readonly { readonly registry: string; readonly credential: object }[]): object {
  return Object.fromEntries(
    entries.map(({ registry, credential }) => [
      registry,
      // Recorded without what is empty of the e-mail address.
      Object.fromEntries(
        Object.entries(credential).filter(([name, value]) => name !== 'email' || value !== ''),
      ),
    ]),
  );
}
