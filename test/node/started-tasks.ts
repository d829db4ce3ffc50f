import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { LabNode } from '../../scripts/lab/node.ts';
import { type ContainerdSeries, nodePrograms } from '../../scripts/lab/programs.ts';

/** Everything that a containerd starts, in its own words. */
export type StartedTasks = {
  /** Ids of the containers and sandboxes that were started since. */
  readonly ids: ReadonlySet<string>;
  clear(): void;
  close(): void;
};

/**
 * Listens to containerd's own event stream, which every subscriber gets whole, also on 1.7 (whose CRI events
 * go to only one of several). Resolves once it is listened to.
 */
export async function listenToStarts(node: LabNode, series: ContainerdSeries): Promise<StartedTasks> {
  const { containerdFolder } = await nodePrograms(series);
  const socket = node.endpoint.slice('unix://'.length);
  const ctr = spawn(join(containerdFolder, 'ctr'), ['--address', socket, '--namespace', 'k8s.io', 'events'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ids = new Set<string>();
  let heard = false;
  createInterface({ input: ctr.stdout }).on('line', (line) => {
    heard = true;
    const id = / \/tasks\/start .*"container_id":"([0-9a-f]+)"/.exec(line)?.[1];
    if (id !== undefined) ids.add(id);
  });
  // It does not say that it listens: until it has heard of one image that comes and goes.
  for (const deadline = Date.now() + 20_000; !heard; ) {
    if (Date.now() > deadline) throw new Error('containerd sends no events');
    await node.kubelet.pullImage(`${node.registries.anonymous.host}/lab/pause:v1`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return { ids, clear: () => ids.clear(), close: () => void ctr.kill('SIGKILL') };
}
