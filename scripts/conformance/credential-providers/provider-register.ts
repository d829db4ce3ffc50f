import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { findPluginBinary } from '../../../agent/credentials/providers/plugin-binary.ts';
import { ProviderError } from '../../../agent/errors.ts';
import type { Vector } from '../vector.ts';
import { compare } from './compare.ts';
import { inTemporaryFolder } from './temporary-folder.ts';

const KINDS = [
  'executable',
  'notExecutable',
  'directory',
  'danglingLink',
  'linkToExecutable',
  'ownerOnly',
  'othersExecutable',
] as const;

const vector = z.object({
  name: z.string(),
  providers: z.array(z.string()),
  binDirExists: z.boolean(),
  bin: z.record(z.string(), z.enum(KINDS)).nullable(),
  ok: z.boolean(),
  registered: z.number(),
});

type ProviderRegisterVector = z.infer<typeof vector>;

/** provider-register.json: how many executables kubelet finds before one is missing. @throws ZodError. */
export function providerRegisterVectors(content: unknown): readonly Vector[] {
  return z
    .array(vector)
    .parse(content)
    .map((recorded) => ({
      name: recorded.name,
      differences: async () =>
        compare(
          'registered',
          { ok: recorded.ok, registered: recorded.registered },
          await inTemporaryFolder((folder) => register(folder, recorded)),
        ),
    }));
}

async function register(
  folder: string,
  { providers, binDirExists, bin }: ProviderRegisterVector,
): Promise<object> {
  const binDir = join(folder, 'bin');
  if (binDirExists) await mkdir(binDir);
  for (const [name, kind] of Object.entries(bin ?? {})) await put(join(binDir, name), kind);
  let registered = 0;
  for (const name of providers) {
    try {
      await findPluginBinary(binDir, name);
      registered += 1;
    } catch (error) {
      if (error instanceof ProviderError) return { ok: false, registered };
      throw error;
    }
  }
  return { ok: true, registered };
}

const MODES = { executable: 0o755, notExecutable: 0o644, ownerOnly: 0o700, othersExecutable: 0o645 } as const;

async function put(path: string, kind: (typeof KINDS)[number]): Promise<void> {
  switch (kind) {
    case 'directory':
      return void (await mkdir(path));
    case 'danglingLink':
      return symlink(`${path}.nowhere`, path);
    case 'linkToExecutable':
      await put(`${path}.target`, 'executable');
      return symlink(`${path}.target`, path);
    default:
      return writeFile(path, '#!/bin/sh\n', { mode: MODES[kind] });
  }
}
