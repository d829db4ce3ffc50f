import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { ProviderError } from '../../errors.ts';
import { checkProgram, findPluginBinary } from './plugin-binary.ts';

/** What can be told of a provider's executable without running it. */
export type PluginFile = {
  readonly path: string;
  /** Why it cannot be run. */
  readonly problem: ProviderError | undefined;
  /** Who besides root and the agent's own user could put another program in its place; undefined: nobody. */
  readonly writableBy: string | undefined;
};

/** Looks at a provider's executable and the folder that it is in. Runs nothing. */
export async function inspectPluginFile(binDir: string, name: string): Promise<PluginFile> {
  const path = `${binDir}/${name}`;
  try {
    await checkProgram(await findPluginBinary(binDir, name));
    return { path, problem: undefined, writableBy: (await writerOf(path)) ?? (await writerOf(binDir)) };
  } catch (error) {
    if (error instanceof ProviderError) return { path, problem: error, writableBy: undefined };
    throw error;
  }
}

const GROUP_WRITES = 0o020;
const OTHERS_WRITE = 0o002;
const STICKY = 0o1000;

async function writerOf(path: string): Promise<string | undefined> {
  const info = await stat(path);
  const { uid, gid, mode } = info;
  if (uid !== 0 && uid !== process.getuid?.()) return `user ${uid}, who owns ${path}`;
  // In a sticky folder only its owner replaces files.
  if (info.isDirectory() && (mode & STICKY) !== 0) return undefined;
  if ((mode & OTHERS_WRITE) !== 0) return `everybody (${path} has mode ${modeOf(info)})`;
  if ((mode & GROUP_WRITES) !== 0 && gid !== 0) return `group ${gid} (${path} has mode ${modeOf(info)})`;
  return undefined;
}

function modeOf({ mode }: Stats): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}
