import { readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode } from './errors.ts';
import { currentMounts } from './mounts.ts';
import { identify, type ProcessIdentity } from './processes.ts';

/** A node's own group in every mounted hierarchy, v1 and v2, whether or not it exists there. */
async function foldersOf(group: string): Promise<string[]> {
  const mounts = await currentMounts();
  return mounts
    .filter(({ fileSystem }) => fileSystem === 'cgroup' || fileSystem === 'cgroup2')
    .map(({ mountPoint }) => join(mountPoint, group));
}

async function groupsBelow(folder: string): Promise<string[]> {
  let entries: string[];
  try {
    entries = (await readdir(folder, { withFileTypes: true }))
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENODEV')) return [];
    throw error;
  }
  const below: string[] = [];
  for (const name of entries) below.push(...(await groupsBelow(join(folder, name))));
  return [...below, folder];
}

/** Every group named so or below it that exists, children before their parents. */
export async function existingCgroups(group: string): Promise<string[]> {
  const found: string[] = [];
  for (const folder of await foldersOf(group)) found.push(...(await groupsBelow(folder)));
  return found;
}

/** The processes in a group and below it; frozen ones are thawed so that they can be killed. */
export async function cgroupProcesses(group: string): Promise<ProcessIdentity[]> {
  const found = new Map<number, ProcessIdentity>();
  for (const folder of await existingCgroups(group)) {
    await writeFile(join(folder, 'freezer.state'), 'THAWED', { flag: 'r+' }).catch(() => {});
    const list = await readFile(join(folder, 'cgroup.procs'), 'utf8').catch(() => '');
    for (const line of list.split('\n').filter((text) => text !== '')) {
      const identity = await identify(Number(line));
      if (identity !== undefined) found.set(identity.pid, identity);
    }
  }
  return [...found.values()];
}

/** Removes a group everywhere; waits up to 2 s for groups whose processes are only just ending. */
export async function removeCgroups(group: string): Promise<void> {
  const deadline = Date.now() + 2_000;
  for (;;) {
    const left = await existingCgroups(group);
    if (left.length === 0) return;
    for (const folder of left) {
      await rmdir(folder).catch((error: unknown) => {
        if (!hasCode(error, 'ENOENT', 'EBUSY', 'ENOTEMPTY') || Date.now() > deadline) throw error;
      });
    }
    await sleep(10);
  }
}
