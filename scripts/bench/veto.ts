import { spawnSync } from 'node:child_process';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startApiServer } from '../../test/cluster/api-server/api-server.ts';
import { quantile } from './statistics.ts';
import { openVetoNode, type VetoNode } from './veto-node.ts';
import { type Pair, type Ratio, ratioOf } from './veto-ratio.ts';
import { startVetoStopwatch } from './veto-stopwatch.ts';

/** CreateContainer over CRI, in ms; the plugin's own time in µs. */
export type VetoFigures = {
  readonly pairs: number;
  readonly withPlugin: Quantiles;
  readonly without: Quantiles;
  readonly createMedianRatio: Ratio;
  readonly createP99Ratio: Ratio;
  readonly plugin: Quantiles;
  /** Questions that `plugin` is about. */
  readonly questions: number;
  /** Processes that were ready to run, on average over the last minute, at the beginning and at the end. */
  readonly load: readonly [number, number];
};

export type Quantiles = { readonly median: number; readonly p90: number; readonly p99: number };

const CONTAINERS_PER_POD = 8;
const WARM_PODS = 4;
/** In each part. */
const PODS = 125;
/**
 * After the sandbox stands and after each container: what the agent does afterwards is not to be in the next
 * figure.
 */
const PAUSE_MS = 15;

/**
 * How much longer CreateContainer takes because the runtime asks the plugin first, of containers whose
 * verdict is known.
 *
 * Two nodes stand side by side, each with a containerd with NRI and an agent in `enforce` mode; one agent has
 * its plugin registered (`--enforcement veto`), the other has none (`stop`), so that the plugin alone is the
 * difference. One container is created here, then one there, in the order ABBA, so that both sides see the
 * same moments of the machine. At half-time the agents change places, because no two daemons are alike. (With
 * one daemon the plugin would have to come and go between the two halves of each pair: what is compared would
 * be moments.) Each container is the first of its name in a pod that was bound and whose sandbox was made
 * before, as kubelet does it.
 *
 * The plugin's own time comes from a third part, through a socket that takes the time, which would be in the
 * way of the others.
 */
export async function benchVeto(progress: (line: string) => void): Promise<VetoFigures> {
  const build = fileURLToPath(new URL('../build.ts', import.meta.url));
  const built = spawnSync(process.execPath, [build], { encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`the agent could not be built: ${built.stderr}`);
  const loadBefore = loadavg()[0] ?? Number.NaN;
  const api = await startApiServer();
  const nodes: VetoNode[] = [];
  try {
    const left = await openVetoNode(api, 'left');
    nodes.push(left);
    const right = await openVetoNode(api, 'right');
    nodes.push(right);
    const pairs: Pair[] = [];
    for (const [asked, other] of [
      [left, right],
      [right, left],
    ] as const) {
      pairs.push(...(await comparePairs(asked, other)));
      progress(`${pairs.length} pairs`);
    }
    const plugin = await timePlugin(left);
    progress(`${plugin.length} questions`);
    return {
      pairs: pairs.length,
      withPlugin: quantilesOf(pairs.map((pair) => pair.withPlugin)),
      without: quantilesOf(pairs.map((pair) => pair.without)),
      createMedianRatio: ratioOf(pairs, 0.5),
      createP99Ratio: ratioOf(pairs, 0.99),
      plugin: quantilesOf(plugin),
      questions: plugin.length,
      load: [loadBefore, loadavg()[0] ?? Number.NaN],
    };
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
    await api.close();
  }
}

async function comparePairs(asked: VetoNode, other: VetoNode): Promise<Pair[]> {
  const agents = await Promise.all([asked.startAgent('veto'), other.startAgent('stop')]);
  const pairs: Pair[] = [];
  for (let pod = -WARM_PODS; pod < PODS; pod += 1) {
    const pods = [await asked.bindPod(CONTAINERS_PER_POD), await other.bindPod(CONTAINERS_PER_POD)] as const;
    await sleep(PAUSE_MS);
    for (let n = 0; n < CONTAINERS_PER_POD; n += 1) {
      const timed = [Number.NaN, Number.NaN] as [number, number];
      for (const side of n % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
        timed[side] = await pods[side].create(n);
        await sleep(PAUSE_MS);
      }
      if (pod >= 0) pairs.push({ withPlugin: timed[0], without: timed[1] });
    }
    for (const one of pods) await one.remove();
  }
  const { body } = await agents[0].get('/metrics');
  for (const agent of agents) await agent.stop();
  if (!/^pullwarden_nri_connected 1$/m.test(body)) throw new Error('the plugin did not stay registered');
  const verdicts = agents[0].verdicts();
  const known = verdicts.slice(-pairs.length).filter(({ reason }) => reason === 'recordMatched').length;
  if (known !== pairs.length) throw new Error(`only ${known} of ${pairs.length} verdicts were known`);
  return pairs;
}

async function timePlugin(node: VetoNode): Promise<number[]> {
  const stopwatch = await startVetoStopwatch(node.nriSocket, join(node.root, 'stopwatch.sock'));
  const agent = await node.startAgent('veto', stopwatch.socketPath);
  for (let pod = -WARM_PODS; pod < PODS; pod += 1) {
    if (pod === 0) stopwatch.take();
    const waiting = await node.bindPod(CONTAINERS_PER_POD);
    await sleep(PAUSE_MS);
    for (let n = 0; n < CONTAINERS_PER_POD; n += 1) {
      await waiting.create(n);
      await sleep(PAUSE_MS);
    }
    await waiting.remove();
  }
  await agent.stop();
  await stopwatch.close();
  return stopwatch.take();
}

function quantilesOf(times: readonly number[]): Quantiles {
  const sorted = Float64Array.from(times);
  return { median: quantile(sorted, 0.5), p90: quantile(sorted, 0.9), p99: quantile(sorted, 0.99) };
}
