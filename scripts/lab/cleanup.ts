import { createHash } from 'node:crypto';
import { readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { cgroupProcesses, removeCgroups } from './cgroups.ts';
import { unmountBelow } from './mounts.ts';
import { type NodeRecord, readRecord } from './node-record.ts';
import { nodeFolderPrefix } from './places.ts';
import { endProcesses, isAlive, type ProcessIdentity, runningProcesses } from './processes.ts';

const nodePrograms = new Set(['containerd', 'containerd-shim-runc-v2', 'docker-registry']);

/**
 * The node's own processes that carry its folder in their arguments: whatever the record had no time to
 * tell.
 */
async function processesNaming(folder: string): Promise<ProcessIdentity[]> {
  const all = await runningProcesses();
  return all.filter(
    ({ program, arguments: args }) =>
      nodePrograms.has(program) && args.some((argument) => argument.startsWith(`${folder}/`)),
  );
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

/** Where a shim listens (containerd's SocketAddress): below /run whatever containerd's own folders are. */
export function shimSocket(address: string, id: string): string {
  const digest = createHash('sha256')
    .update(join(address, 'k8s.io', id))
    .digest('hex');
  return `/run/containerd/s/${digest}`;
}

async function shimSockets(folder: string, record: NodeRecord): Promise<string[]> {
  const ids = new Set(await namesIn(join(folder, 'state/io.containerd.runtime.v2.task/k8s.io')));
  for (const id of await namesIn(join(folder, 'root/io.containerd.runtime.v2.task/k8s.io'))) ids.add(id);
  for (const kind of ['sandboxes', 'containers']) {
    for (const plugin of await namesIn(join(folder, 'root'))) {
      for (const id of await namesIn(join(folder, 'root', plugin, kind))) ids.add(id);
    }
  }
  for (const { program, arguments: args } of await runningProcesses()) {
    const id = args[args.indexOf('-id') + 1];
    if (program === 'containerd-shim-runc-v2' && args.includes(record.socket) && id !== undefined)
      ids.add(id);
  }
  return [...ids].map((id) => shimSocket(record.socket, id));
}

/**
 * Clears a node away: its processes, mounts, cgroups, shim sockets and folder. Does no harm to others and may
 * be repeated. The record is asked for because the folder's own may be damaged.
 */
export async function tearDown(folder: string, record: NodeRecord): Promise<void> {
  const sockets = await shimSockets(folder, record);
  // containerd first, or it would restart or clean up after what is killed next.
  await endProcesses(record.children, 'SIGKILL', 5_000);
  await endProcesses(await processesNaming(folder), 'SIGKILL', 5_000);
  await endProcesses(await cgroupProcesses(record.cgroup), 'SIGKILL', 5_000);
  await unmountBelow(folder);
  await removeCgroups(record.cgroup);
  for (const socket of sockets) await rm(socket, { force: true });
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
}

/** The cgroup of the node in this folder. */
export function cgroupOf(folder: string): string {
  return `/pullwarden-${basename(folder).split('-').at(-1)}`;
}

/** Folders of nodes on this machine, running or not. */
async function nodeFolders(): Promise<string[]> {
  const parent = dirname(nodeFolderPrefix);
  const names = await namesIn(parent);
  return names
    .filter((name) => name.startsWith(basename(nodeFolderPrefix)))
    .map((name) => join(parent, name));
}

/**
 * Clears away every node whose owner is dead, and folders older than a minute that have no readable record.
 * @returns the folders that were removed.
 */
export async function sweep(): Promise<string[]> {
  const removed: string[] = [];
  for (const folder of await nodeFolders()) {
    const record = await readRecord(folder);
    if (record === undefined) {
      const age = Date.now() - (await stat(folder).catch(() => ({ mtimeMs: Date.now() }))).mtimeMs;
      if (age < 60_000) continue;
      const owner = { pid: 1, startTime: 'unknown' };
      const socket = join(folder, 'containerd.sock');
      await tearDown(folder, { owner, children: [], cgroup: cgroupOf(folder), socket });
    } else {
      if (await isAlive(record.owner)) continue;
      await tearDown(folder, record);
    }
    removed.push(folder);
  }
  return removed;
}
