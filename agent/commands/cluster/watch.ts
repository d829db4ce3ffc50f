import { setTimeout as sleep } from 'node:timers/promises';
import { CommandError } from '../../errors.ts';
import { printable } from '../../printable.ts';
import type { Print } from '../output.ts';
import { type Agent, type Cluster, listAgents } from './agents.ts';
import type { Entry } from './entries.ts';
import { openExec } from './exec/open-exec.ts';
import { followAgent } from './follow.ts';

export type Watch = {
  /** Passed on to each agent. */
  readonly filter: readonly string[];
  /** From when on verdicts are wanted; milliseconds since the epoch. */
  readonly begin: number;
  /** What is known already, by the agent's pod. */
  readonly known: ReadonlyMap<string, readonly Entry[]>;
  readonly onEntry: (agent: Agent, entry: Entry) => void;
  readonly warn: Print;
  readonly signal: AbortSignal;
};

/** Nodes come and go, and a new version of the agent is a new pod. */
const LIST_EVERY_MS = 30_000;

/** Follows all agents, those that come later too, until `signal` ends it. */
export async function watchAgents(cluster: Cluster, watch: Watch): Promise<void> {
  const { filter, begin, known, onEntry, warn, signal } = watch;
  const exec = await openExec(cluster);
  const followed = new Map<string, { readonly gone: AbortController; readonly ended: Promise<void> }>();

  const follow = (agent: Agent): void => {
    const gone = new AbortController();
    const ended = followAgent(exec, agent, {
      filter,
      begin,
      known: known.get(agent.pod) ?? [],
      onEntry: (entry) => onEntry(agent, entry),
      onLost: (problem) =>
        warn(`${printable(`lost ${agent.node} (${agent.pod}): ${problem}; trying again`)}\n`),
      signal: AbortSignal.any([signal, gone.signal]),
    });
    followed.set(agent.pod, { gone, ended });
  };
  const update = (agents: readonly Agent[]): void => {
    const running = new Map(
      agents.filter(({ phase }) => phase === 'Running').map((agent) => [agent.pod, agent]),
    );
    for (const [pod, { gone }] of followed) {
      if (running.has(pod)) continue;
      gone.abort();
      followed.delete(pod);
    }
    for (const [pod, agent] of running) if (!followed.has(pod)) follow(agent);
  };

  try {
    while (!signal.aborted) {
      const agents = await currentAgents(cluster);
      if (agents !== undefined) update(agents);
      await sleep(LIST_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
    await Promise.all([...followed.values()].map(({ ended }) => ended));
  } finally {
    await exec.close();
  }
}

/** Undefined when the API server does not say: who is followed stays so. */
async function currentAgents(cluster: Cluster): Promise<readonly Agent[] | undefined> {
  try {
    return await listAgents(cluster);
  } catch (error) {
    if (error instanceof CommandError) return undefined;
    throw error;
  }
}
