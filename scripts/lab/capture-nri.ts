import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Connection, connectPlugin } from '../../agent/nri/connect.ts';
import type { NriPlugin } from '../../agent/nri/plugin.ts';
import { LabError, PackageUnavailable } from './errors.ts';
import { ContainerNotStarted } from './kubelet.ts';
import { type LabNode, startNode } from './node.ts';
import { type NriTap, tapNri } from './nri-tap.ts';
import type { ContainerSpec } from './pod.ts';
import { type ContainerdSeries, parseSeries } from './programs.ts';
import { pushImage } from './push.ts';

const captures = join(import.meta.dirname, '../../test/captures');

/** Connects the agent's own plugin through the tap; resolves when the runtime has synchronized it. */
function connected({ socketPath }: NriTap): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const plugin: NriPlugin = {
      synchronize: () => resolve(connection),
      async createContainer({ pod }) {
        if (pod.name.startsWith('refused')) throw new Error('pullwarden: registryRefused');
      },
    };
    const connection = connectPlugin(plugin, { socketPath }, reject);
  });
}

async function session({ kubelet, registries }: LabNode, tap: NriTap): Promise<void> {
  const { anonymous } = registries;
  await pushImage(anonymous, 'team-a/app', 'v1', { salt: 'nri' });
  const image = `${anonymous.host}/team-a/app:v1`;
  const run = async (name: string, command?: string[]) => {
    const main: ContainerSpec = { name: 'main', image, imagePullPolicy: 'IfNotPresent' };
    const containers = [command === undefined ? main : { ...main, command }];
    await kubelet.runPod({ namespace: 'team-a', name, uid: `uid-${name}`, containers });
  };
  const first = await connected(tap);
  await run('allowed');
  try {
    await run('refused');
    throw new LabError('the refused container was created');
  } catch (error) {
    if (!(error instanceof ContainerNotStarted)) throw error;
  }
  // Longer than one write of the runtime's ttrpc, so that it comes in several frames.
  await run('long', ['/app', 'x'.repeat(10_000)]);
  first.close();
  const second = await connected(tap);
  await run('later');
  second.close();
}

/** Writes `nri-session-<version>.jsonl`, one frame a line; returns how many there are. */
export async function captureNri(series: ContainerdSeries): Promise<number> {
  const node = await startNode({ containerd: series, nri: true });
  try {
    if (node.nriSocket === undefined) throw new LabError('the node has no NRI');
    const tap = await tapNri(node.nriSocket, join(node.root, 'nri-tap.sock'));
    await session(node, tap);
    await tap.close();
    const version = /^[\d.]+/.exec(node.version)?.[0] ?? series;
    const lines = tap.frames.map(({ frame, ...rest }) =>
      JSON.stringify({ ...rest, frame: frame.toString('base64') }),
    );
    await writeFile(join(captures, `nri-session-${version}.jsonl`), `${lines.join('\n')}\n`);
    return lines.length;
  } finally {
    await node.stop();
  }
}

if (import.meta.main) {
  const wanted = process.argv.slice(2);
  for (const series of wanted.length === 0 ? (['1.7', '2'] as const) : wanted.map(parseSeries)) {
    try {
      process.stdout.write(`containerd ${series}: ${await captureNri(series)} frames\n`);
    } catch (error) {
      if (!(error instanceof LabError)) throw error;
      process.stderr.write(`containerd ${series}: ${error.message}\n`);
      if (!(error instanceof PackageUnavailable)) process.exitCode = 1;
    }
  }
}
