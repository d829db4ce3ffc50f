import { setTimeout as sleep } from 'node:timers/promises';
import { pushImage } from '../../lab/push.ts';
import type { AgentProcess } from '../../story/agent-process.ts';
import { useOf } from '../process-use.ts';
import { quantile } from '../statistics.ts';
import type { Abuser, Scale } from './abusers.ts';
import type { GoodTenant, GoodTimes } from './good-tenant.ts';
import { type MachineUse, watchMachine } from './machine.ts';
import type { SharedNode } from './shared-node.ts';
import type { Created } from './trying.ts';

/** What a good tenant sees; times in ms. */
export type GoodFigures = {
  readonly recordedP50: number;
  readonly recordedP99: number;
  readonly freshP50: number;
  readonly freshP99: number;
  /** Containers that were not created at the first try. */
  readonly triedAgain: number;
  /** A pull by kubelet of an image that is new to the node. */
  readonly pullMs: number;
};

/** What the node's administrator sees of the agent; times in ms, memory in MiB. */
export type AgentFigures = {
  readonly healthzWorst: number;
  /** The agent's own word: the longest that its main thread was held up. */
  readonly loopWorst: number;
  readonly memory: number;
  /** Of one core. */
  readonly cpuPercent: number;
  /** Of the time: the runtime waited for the veto, whoever it asked about, and created nothing else. */
  readonly heldPercent: number;
  readonly registryPerMinute: number;
  readonly apiPerMinute: number;
};

export type Phase = GoodFigures & AgentFigures & MachineUse;

/** Where no agent works at all. */
export type Floor = GoodFigures & MachineUse;

export type Row = {
  readonly abuser: string;
  readonly alone: Phase;
  readonly beside: Phase;
  /**
   * Beside the same abuser, without the agent: a plugin of its own refuses the abuser's containers at once
   * and is asked about nobody else's. What this takes, the runtime and the machine take by themselves.
   */
  readonly floor: Floor;
  /** Requests that the abuser's own registries had, a minute. */
  readonly ownPerMinute: number;
  /** How often the runtime dropped the veto, or the veto the runtime. */
  readonly disconnects: number;
  readonly connectedAtEnd: boolean;
  /** Containers of the abuser that were created without a right. */
  readonly created: number;
};

export type RowParts = {
  readonly node: SharedNode;
  readonly tenant: () => Promise<GoodTenant>;
  /** Pods of the good tenant in each phase. */
  readonly pods: number;
  readonly scale: Scale;
  /** What is known after each part. */
  readonly progress: (line: string) => void;
};

/**
 * The same tenant on the same node with the same agent, first alone, then beside one who abuses what it may
 * write, and beside him without the agent.
 */
export async function measureRow(abuser: Abuser, parts: RowParts): Promise<Row> {
  const { node, pods, scale, progress } = parts;
  await node.freshAgent();
  const good = await parts.tenant();
  const alone = await measurePhase(node, `${abuser.name} alone`, () => good.work(pods));
  progress(`${abuser.name} alone: ${JSON.stringify(alone)}`);
  const abuse = await abuser.begin(node, scale);
  progress(`${abuser.name} has begun`);
  try {
    const before = { at: performance.now(), own: abuse.ownRequests() };
    const beside = await measurePhase(node, `${abuser.name} beside`, () => good.work(pods));
    const minutes = (performance.now() - before.at) / 60_000;
    const ownPerMinute = (abuse.ownRequests() - before.own) / minutes;
    const connection = await connectionOf(node);
    // Between the agent's end and the plugin that comes in its place nobody refuses anything.
    const created = abuse.created();
    progress(`${abuser.name} beside: ${JSON.stringify(beside)}`);
    const floor = await measureFloor(node, `${abuser.name} without agent`, () => good.work(pods));
    progress(`${abuser.name} without agent: ${JSON.stringify(floor)}`);
    return { abuser: abuser.name, alone, beside, floor, ownPerMinute, ...connection, created };
  } finally {
    await abuse.stop();
  }
}

/** How the veto's connection to the runtime has fared since the agent's start. */
export async function connectionOf(node: SharedNode): Promise<Pick<Row, 'disconnects' | 'connectedAtEnd'>> {
  const { body } = await node.agent().get('/metrics');
  return {
    disconnects: sumOf(body, 'pullwarden_nri_disconnects_total'),
    connectedAtEnd: sumOf(body, 'pullwarden_nri_connected') === 1,
  };
}

/** `name` of no other phase on this node. */
export async function measurePhase(
  node: SharedNode,
  name: string,
  work: () => Promise<GoodTimes>,
): Promise<Phase> {
  const { htpasswd } = node.lab.registries;
  const agent = node.agent();
  // What stands in the metrics of the loop is of the time since they were last read.
  const heldBefore = sumOf((await agent.get('/metrics')).body, HELD_SECONDS);
  const mark = await htpasswd.mark();
  const requestsBefore = node.api.requests().length;
  const cpuBefore = useOf(agent.pid).cpuSeconds;
  const began = performance.now();
  const watching = watchOver(agent);
  const seen = await measureGood(node, name, work);
  const seconds = (performance.now() - began) / 1_000;
  const cpuPercent = (100 * (useOf(agent.pid).cpuSeconds - cpuBefore)) / seconds;
  const { healthzWorst, memory } = await watching.end();
  const { body } = await agent.get('/metrics');
  return {
    ...seen,
    healthzWorst,
    loopWorst: sumOf(body, 'nodejs_eventloop_lag_max_seconds') * 1_000,
    memory,
    cpuPercent,
    heldPercent: (100 * (sumOf(body, HELD_SECONDS) - heldBefore)) / seconds,
    registryPerMinute: (60 * (await htpasswd.requests(mark)).length) / seconds,
    apiPerMinute: (60 * (node.api.requests().length - requestsBefore)) / seconds,
  };
}

async function measureFloor(node: SharedNode, name: string, work: () => Promise<GoodTimes>): Promise<Floor> {
  const plugin = await node.refuseWithoutAgent();
  try {
    return await measureGood(node, name, work);
  } finally {
    await plugin.stop();
  }
}

async function measureGood(
  node: SharedNode,
  name: string,
  work: () => Promise<GoodTimes>,
): Promise<GoodFigures & MachineUse> {
  const endWatch = watchMachine();
  const { recorded, fresh } = await work();
  const pullMs = await timePull(node, name);
  const msOf = (all: readonly Created[]) => Float64Array.from(all, ({ ms }) => ms);
  return {
    recordedP50: quantile(msOf(recorded), 0.5),
    recordedP99: quantile(msOf(recorded), 0.99),
    freshP50: quantile(msOf(fresh), 0.5),
    freshP99: quantile(msOf(fresh), 0.99),
    triedAgain: [...recorded, ...fresh].filter(({ tries }) => tries > 1).length,
    pullMs,
    ...endWatch(),
  };
}

async function timePull({ lab }: SharedNode, name: string): Promise<number> {
  const { htpasswd } = lab.registries;
  const repository = `good/${name.replaceAll(' ', '-')}`;
  await pushImage(htpasswd, repository, '1', { salt: `${name} ${performance.now()}` });
  const began = performance.now();
  await lab.kubelet.pullImage(`${htpasswd.host}/${repository}:1`, {
    username: 'alice',
    password: htpasswd.users.alice ?? '',
  });
  return performance.now() - began;
}

const HEALTHZ_MS = 100;
const HELD_SECONDS = 'pullwarden_veto_wait_seconds_sum';

function watchOver(agent: AgentProcess) {
  let healthzWorst = 0;
  let memory = 0;
  let over = false;
  const running = (async () => {
    while (!over) {
      const asked = performance.now();
      await agent.get('/healthz');
      healthzWorst = Math.max(healthzWorst, performance.now() - asked);
      memory = Math.max(memory, useOf(agent.pid).residentMiB);
      await sleep(HEALTHZ_MS);
    }
  })();
  // Whoever ends it hears of it.
  running.catch(() => undefined);
  return {
    async end() {
      over = true;
      await running;
      return { healthzWorst, memory };
    },
  };
}

/** Of all series of a metric in Prometheus' text format. */
function sumOf(body: string, name: string): number {
  let sum = 0;
  for (const line of body.split('\n')) {
    if (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) sum += Number(line.split(' ').at(-1));
  }
  return sum;
}
