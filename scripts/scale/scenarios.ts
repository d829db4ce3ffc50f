import type { Paces } from './paces.ts';
import type { Parts } from './parts.ts';

/** A node as the sums take it; yours may be another, and the sums are linear in all of it. */
export const NODE = {
  podStartsPerHour: 10,
  /** Secrets and service accounts that something was granted to. */
  ownersOnRecord: 20,
  namespaces: 10,
  grantsOnRecord: 40,
  rollOutPods: 30,
  rollOutMinutes: 10,
  newImages: 1,
  /** Images × credentials that are not on record while something is away. */
  waiting: 3,
} as const;

export const CLUSTER_SIZES = [100, 1_000, 5_000] as const;

/** DaemonSet, updateStrategy.rollingUpdate.maxUnavailable of the manifests. */
const AGENTS_AT_ONCE = 0.1;

export type Scenario = {
  readonly what: string;
  /** Requests of one node. */
  readonly api: number;
  readonly registry: number;
  /** Within which these are asked. */
  readonly seconds: number;
  /** Of the nodes, at once; 1 where nothing is said. */
  readonly share?: number;
};

export function scenariosOf({ api, registry }: Parts, paces: Paces): readonly Scenario[] {
  const hour = 3_600;
  const sweeps = paces.sweepsPerHour * (NODE.ownersOnRecord + NODE.namespaces);
  const steady = paces.watchesPerHour + sweeps + NODE.podStartsPerHour * api.onRecordUnread;
  const renewals = (NODE.grantsOnRecord * paces.renewalsPerDay) / 24;
  // A read secret counts for a minute and is looked at again then; whoever comes meanwhile shares both.
  const rollOut = (NODE.rollOutPods - 1) * api.onRecord + NODE.rollOutMinutes * api.recheck;
  const inOutage = NODE.waiting * paces.questionsInOutagePerHour;
  return [
    { what: 'steady state', api: steady, registry: 0, seconds: hour },
    {
      what: 'the same with `--record-ttl 24h`',
      api: steady + renewals * api.onRecordUnread,
      registry: renewals * registry.firstImage,
      seconds: hour,
    },
    {
      what: 'a roll-out of workloads on every node',
      api: NODE.newImages * api.firstImage + rollOut,
      registry: NODE.newImages * registry.firstImage,
      seconds: NODE.rollOutMinutes * 60,
    },
    {
      what: 'a roll-out of the agent, one batch',
      api: api.agentStart + NODE.ownersOnRecord * api.onRecordUnread,
      registry: 0,
      seconds: paces.existingSeconds,
      share: AGENTS_AT_ONCE,
    },
    { what: 'the registry is away', api: 0, registry: inOutage, seconds: hour },
    {
      what: 'the registry is back',
      api: 0,
      registry: NODE.waiting * registry.firstImage,
      seconds: paces.outageNoticedWithin,
    },
    {
      what: 'the API server is back',
      api: api.agentStart + NODE.waiting * api.firstImage,
      registry: 0,
      seconds: paces.watchRetrySeconds,
    },
  ];
}
