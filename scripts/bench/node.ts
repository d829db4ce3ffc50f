import { setTimeout as sleep } from 'node:timers/promises';
import PQueue from 'p-queue';
import { buildAgent } from '../story/program-of-image.ts';
import { type BusyNode, openBusyNode } from './busy-node.ts';
import { useOf } from './process-use.ts';
import { quantile } from './statistics.ts';

/** What an agent costs its node; memory in MiB. */
export type NodeFigures = {
  readonly pods: number;
  readonly images: number;
  readonly podsPerMinute: number;
  readonly minutes: number;
  readonly verdicts: number;
  /** Ready, on a node without pods and images. */
  readonly emptyMiB: number;
  /** All pods judged, nothing going on. */
  readonly fullMiB: number;
  /** Every second while pods come and go. */
  readonly residentMedianMiB: number;
  readonly residentLowestMiB: number;
  readonly residentHighestMiB: number;
  readonly anonymousMedianMiB: number;
  /** Of one core, while pods come and go. */
  readonly cpuPercent: number;
  /** Of credential provider plugins, while pods come and go; 0 without a provider. */
  readonly pluginsPerMinute: number;
  /** How late the event loop was: the worst p99 that a scrape showed, ms. */
  readonly eventLoopP99Ms: number;
};

export type NodeBenchOptions = {
  readonly pods: number;
  readonly images: number;
  readonly podsPerMinute: number;
  readonly minutes: number;
  /** Pods pull with their service account through a plugin, in place of a secret. */
  readonly provider: boolean;
};

export const NODE_BENCH: NodeBenchOptions = {
  pods: 500,
  images: 2_000,
  podsPerMinute: 50,
  minutes: 5,
  provider: false,
};
/** Smaller: what is measured is what a plugin adds. */
export const PROVIDER_BENCH: NodeBenchOptions = {
  pods: 40,
  images: 40,
  podsPerMinute: 50,
  minutes: 2,
  provider: true,
};

const PODS_AT_ONCE = 4;
/** One in so many may not use its image. */
const DENIED_SHARE = 10;
const SETTLE_MS = 30_000;
/** As Prometheus does. */
const SCRAPE_MS = 15_000;

/** Fills a real node and lets pods come and go; the agent is built first and runs as in its image. */
export async function benchNode(
  { pods, images, podsPerMinute, minutes, provider }: NodeBenchOptions,
  progress: (line: string) => void,
): Promise<NodeFigures> {
  buildAgent();
  const node = await openBusyNode({ provider });
  const { agent } = node;
  try {
    await sleep(SETTLE_MS);
    const emptyMiB = useOf(agent.pid).residentMiB;
    progress(`the empty node: ${emptyMiB.toFixed(1)} MiB`);
    await node.pullImages(images, (done) => done % 500 === 0 && progress(`${done} images`));
    await fill(node, pods, progress);
    await sleep(SETTLE_MS);
    const fullMiB = useOf(agent.pid).residentMiB;
    progress(`the full node: ${fullMiB.toFixed(1)} MiB`);

    const pluginsBefore = await node.pluginRuns();
    const { samples, eventLoopP99Ms } = await churn(node, podsPerMinute, minutes, progress);
    const resident = Float64Array.from(samples, ({ residentMiB }) => residentMiB);
    const anonymous = Float64Array.from(samples, ({ anonymousMiB }) => anonymousMiB);
    const cpuSeconds = (samples.at(-1)?.cpuSeconds ?? 0) - (samples[0]?.cpuSeconds ?? 0);
    return {
      pods,
      images,
      podsPerMinute,
      minutes,
      verdicts: agent.verdicts().length,
      emptyMiB,
      fullMiB,
      residentMedianMiB: quantile(resident, 0.5),
      residentLowestMiB: quantile(resident, 0),
      residentHighestMiB: quantile(resident, 1),
      anonymousMedianMiB: quantile(anonymous, 0.5),
      cpuPercent: (cpuSeconds / (minutes * 60)) * 100,
      pluginsPerMinute: ((await node.pluginRuns()) - pluginsBefore) / minutes,
      eventLoopP99Ms,
    };
  } finally {
    await node.stop();
  }
}

async function fill(node: BusyNode, pods: number, progress: (line: string) => void): Promise<void> {
  const queue = new PQueue({ concurrency: PODS_AT_ONCE });
  for (let n = 0; n < pods; n += 1) {
    void queue.add(async () => {
      await node.addPod(n % DENIED_SHARE !== 0);
      if (node.pods() % 100 === 0) progress(`${node.pods()} pods`);
    });
  }
  await queue.onIdle();
}

async function churn(
  node: BusyNode,
  podsPerMinute: number,
  minutes: number,
  progress: (line: string) => void,
) {
  const samples: ReturnType<typeof useOf>[] = [];
  const changes = new PQueue();
  let added = 0;
  const began = performance.now();
  const elapsed = (): number => performance.now() - began;
  let scraped = 0;
  let eventLoopP99Ms = 0;
  while (elapsed() < minutes * 60_000) {
    while (added < (elapsed() / 60_000) * podsPerMinute) {
      added += 1;
      const allowed = added % DENIED_SHARE !== 0;
      void changes.add(async () => {
        await node.addPod(allowed);
        await node.removeOldest();
      });
    }
    if (elapsed() - scraped >= SCRAPE_MS) {
      scraped = elapsed();
      const { body } = await node.agent.get('/metrics');
      const lag = /^nodejs_eventloop_lag_p99_seconds (\S+)/m.exec(body)?.[1];
      eventLoopP99Ms = Math.max(eventLoopP99Ms, Number(lag) * 1_000);
      await node.agent.get('/readyz');
    }
    const use = useOf(node.agent.pid);
    samples.push(use);
    if (samples.length % 60 === 0) progress(`${samples.length} s: ${use.residentMiB.toFixed(1)} MiB`);
    await sleep(1_000);
  }
  await changes.onIdle();
  return { samples, eventLoopP99Ms };
}
