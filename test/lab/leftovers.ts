import { existsSync } from 'node:fs';
import { existingCgroups } from '../../scripts/lab/cgroups.ts';
import { cgroupOf, shimSocket } from '../../scripts/lab/cleanup.ts';
import { mountsBelow } from '../../scripts/lab/mounts.ts';
import { runningProcesses } from '../../scripts/lab/processes.ts';

/**
 * Everything on this machine that belongs to the node that had this folder; empty when it is gone for good.
 */
export async function leftovers(root: string, sandboxIds: string[]): Promise<string[]> {
  const processes = await runningProcesses();
  return [
    ...processes
      .filter(({ arguments: args }) => args.some((argument) => argument.includes(root)))
      .map(({ pid, program }) => `process ${pid} ${program}`),
    ...(await mountsBelow(root)).map((point) => `mount ${point}`),
    ...(await existingCgroups(cgroupOf(root))).map((folder) => `cgroup ${folder}`),
    ...[root, ...sandboxIds.map((id) => shimSocket(`${root}/containerd.sock`, id))]
      .filter((path) => existsSync(path))
      .map((path) => `file ${path}`),
  ];
}
