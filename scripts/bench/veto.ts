import { loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startApiServer } from '../../test/cluster/api-server/api-server.ts';
import { buildAgent } from '../story/program-of-image.ts';
import { startPlainPlugin } from './plain-plugin.ts';
import { type Quantiles, quantilesOf } from './statistics.ts';
import { openVetoNode, type VetoNode, type WaitingPod } from './veto-node.ts';
import { type Pair, type Ratio, ratioOf } from './veto-ratio.ts';
import { startVetoStopwatch } from './veto-stopwatch.ts';

/** CreateContainer over CRI, in ms; the plugin's own time in µs. */
export type VetoFigures = {
  readonly rounds: number;
  readonly withPlugin: Quantiles;
  readonly without: Quantiles;
  /** With a Node.js process that says yes to everything. */
  readonly floor: Quantiles;
  readonly createMedianRatio: Ratio;
  readonly createP99Ratio: Ratio;
  /** With the agent's plugin, by that with the one that only says yes. */
  readonly floorMedianRatio: Ratio;
  readonly plugin: Quantiles;
  /** Questions that `plugin` is about. */
  readonly questions: number;
  /** Processes that were ready to run, on average over the last minute, at the beginning and at the end. */
  readonly load: readonly [number, number];
};

const CONTAINERS_PER_POD = 8;
const WARM_PODS = 4;
/** In each part, on each node. */
const PODS = 84;
/**
 * After the sandbox stands and after each container: what the agent does afterwards is not to be in the next
 * figure.
 */
const PAUSE_MS = 15;

/**
 * How much longer CreateContainer takes because the runtime asks the plugin first, of containers whose
 * verdict is known.
 *
 * Three nodes stand side by side, each with a containerd with NRI and an agent in `enforce` mode. One agent
 * has its plugin registered (`--enforcement veto`); the others have none (`stop`), but beside one of them a
 * plugin of a few lines says yes to everything. So the plugin alone is the difference, and how much of it is
 * the asking itself can be told. One container is created here, one there and one at the third, in changing
 * order, so that all sides see the same moments of the machine. Twice the three change places, because no two
 * daemons are alike. (With one daemon the plugin would have to come and go between the parts of each round:
 * what is compared would be moments.) Each container is the first of its name in a pod that was bound and
 * whose sandbox was made before, as kubelet does it.
 *
 * The plugin's own time comes from a third part, through a socket that takes the time, which would be in the
 * way of the others.
 */
export async function benchVeto(progress: (line: string) => void): Promise<VetoFigures> {
  buildAgent();
  const loadBefore = loadavg()[0] ?? Number.NaN;
  const api = await startApiServer();
  const nodes: VetoNode[] = [];
  try {
    for (const name of ['first', 'second', 'third']) nodes.push(await openVetoNode(api, name));
    const [first, second, third] = nodes;
    if (first === undefined || second === undefined || third === undefined)
      throw new Error('a node is missing');
    const rounds: Round[] = [];
    for (const places of [
      { asked: first, silent: second, floor: third },
      { asked: second, silent: third, floor: first },
      { asked: third, silent: first, floor: second },
    ]) {
      rounds.push(...(await compare(places)));
      progress(`${rounds.length} rounds`);
    }
    const plugin = await timePlugin(first);
    progress(`${plugin.length} questions`);
    const pairs = rounds.map(({ asked, silent }): Pair => ({ withPlugin: asked, without: silent }));
    const aboveFloor = rounds.map(({ asked, floor }): Pair => ({ withPlugin: asked, without: floor }));
    return {
      rounds: rounds.length,
      withPlugin: quantilesOf(rounds.map(({ asked }) => asked)),
      without: quantilesOf(rounds.map(({ silent }) => silent)),
      floor: quantilesOf(rounds.map(({ floor }) => floor)),
      createMedianRatio: ratioOf(pairs, 0.5),
      createP99Ratio: ratioOf(pairs, 0.99),
      floorMedianRatio: ratioOf(aboveFloor, 0.5),
      plugin: quantilesOf(plugin),
      questions: plugin.length,
      load: [loadBefore, loadavg()[0] ?? Number.NaN],
    };
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
    await api.close();
  }
}

/** The agent's plugin is asked, none is, or one that only says yes. */
const SIDES = ['asked', 'silent', 'floor'] as const;
type Side = (typeof SIDES)[number];
/** One creation on each side, in ms. */
type Round = Readonly<Record<Side, number>>;

async function compare(places: Readonly<Record<Side, VetoNode>>): Promise<Round[]> {
  const { asked, silent, floor } = places;
  const agents = await Promise.all([
    asked.startAgent('veto'),
    silent.startAgent('stop'),
    floor.startAgent('stop'),
  ]);
  const plain = await startPlainPlugin(floor.nriSocket, 'allow');
  const rounds: Round[] = [];
  for (let pod = -WARM_PODS; pod < PODS; pod += 1) {
    const pods: Record<Side, WaitingPod> = {
      asked: await asked.bindPod(CONTAINERS_PER_POD),
      silent: await silent.bindPod(CONTAINERS_PER_POD),
      floor: await floor.bindPod(CONTAINERS_PER_POD),
    };
    await sleep(PAUSE_MS);
    for (let n = 0; n < CONTAINERS_PER_POD; n += 1) {
      const timed: Record<Side, number> = { asked: Number.NaN, silent: Number.NaN, floor: Number.NaN };
      for (const side of inTurn(n)) {
        timed[side] = await pods[side].create(n);
        await sleep(PAUSE_MS);
      }
      if (pod >= 0) rounds.push(timed);
    }
    for (const side of SIDES) await pods[side].remove();
  }
  const { body } = await agents[0].get('/metrics');
  for (const agent of agents) await agent.stop();
  await plain.stop();
  if (!/^pullwarden_nri_connected 1$/m.test(body)) throw new Error('the plugin did not stay registered');
  const verdicts = agents[0].verdicts();
  const known = verdicts.slice(-rounds.length).filter(({ reason }) => reason === 'recordMatched').length;
  if (known !== rounds.length) throw new Error(`only ${known} of ${rounds.length} verdicts were known`);
  return rounds;
}

/** Each side is first, second and last as often as the others. */
function inTurn(n: number): readonly Side[] {
  const from = n % SIDES.length;
  return [...SIDES.slice(from), ...SIDES.slice(0, from)];
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
