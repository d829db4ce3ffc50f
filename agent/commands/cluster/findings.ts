import type { Answer } from './agents.ts';
import type { Entry } from './entries.ts';
import { howToMend } from './mend.ts';

/** One cause of trouble: all containers of a namespace that ended with this image and reason. */
export type Finding = {
  readonly namespace: string;
  readonly image: string;
  readonly verdict: string;
  readonly reason: string;
  /** Of the newest verdict. */
  readonly message: string;
  /** True when some were kept from running; false when all of them run, because nothing is enforced there. */
  readonly enforced: boolean;
  readonly containers: number;
  readonly nodes: number;
  /** A few of them. */
  readonly pods: readonly string[];
  /** Milliseconds since the epoch: the first and the newest verdict. */
  readonly since: number;
  readonly last: number;
  readonly mend: string;
};

export type NamespaceCount = {
  readonly namespace: string;
  readonly denied: number;
  readonly unverifiable: number;
};

export type Report = {
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** How far back was asked, as it was given (`24h`). */
  readonly since: string;
  readonly agents: number;
  readonly silent: readonly { readonly node: string; readonly pod: string; readonly problem: string }[];
  /** Agents that had more verdicts than were asked for: their oldest are missing here. */
  readonly cut: readonly string[];
  /** The most containers first. */
  readonly findings: readonly Finding[];
  readonly namespaces: readonly NamespaceCount[];
};

const SHOWN_PODS = 5;

/** What counts of one agent's audit trail; of 5,000 agents not more could be kept. */
export type Trail = {
  /** Of each container that is not allowed: its newest verdict, and since when it is the same. */
  readonly troubles: readonly { readonly entry: Entry; readonly first: number }[];
  /** How many verdicts the agent told. */
  readonly told: number;
};

type Seen = Trail['troubles'][number] & { readonly node: string };

/** What was mended is gone: of a container the newest verdict counts. */
export function trailOf(entries: readonly Entry[]): Trail {
  return {
    troubles: newestOf(entries).filter(({ entry }) => entry.verdict !== 'allowed'),
    told: entries.length,
  };
}

/** What the agents' audit trails say together. */
export function reportOf(
  answers: readonly Answer<Trail>[],
  { time, since, limit }: { readonly time: number; readonly since: string; readonly limit: number },
): Report {
  const seen = answers.flatMap(({ agent, value }) =>
    (value?.troubles ?? []).map((trouble) => ({ ...trouble, node: agent.node })),
  );
  const findings = groupsOf(seen).map(findingOf);
  return {
    time,
    since,
    agents: answers.length,
    silent: answers.flatMap(({ agent, problem }) =>
      problem === undefined ? [] : [{ node: agent.node, pod: agent.pod, problem }],
    ),
    cut: answers.flatMap(({ agent, value }) =>
      value !== undefined && value.told >= limit ? [agent.node] : [],
    ),
    findings: findings.sort((a, b) => b.containers - a.containers || a.namespace.localeCompare(b.namespace)),
    namespaces: countNamespaces(findings),
  };
}

/** The newest verdict of each container of a pod; a container that is created again has another id. */
function newestOf(entries: readonly Entry[]): Trail['troubles'] {
  const byContainer = new Map<string, Trail['troubles'][number]>();
  for (const entry of entries.toSorted((a, b) => a.time - b.time)) {
    const { namespace, podUid, pod, container, containerId } = entry;
    // Nobody's containers have no pod that would tell them apart.
    const key = podUid === '' ? containerId : [namespace, podUid, pod, container].join('\0');
    const before = byContainer.get(key);
    const isSame = before?.entry.reason === entry.reason && before.entry.image === entry.image;
    byContainer.set(key, { entry, first: isSame ? before.first : entry.time });
  }
  return [...byContainer.values()];
}

function groupsOf(seen: readonly Seen[]): (readonly Seen[])[] {
  const key = ({ entry: { namespace, image, verdict, reason } }: Seen): string =>
    [namespace, image, verdict, reason].join('\0');
  return [...Map.groupBy(seen, key).values()];
}

function findingOf(group: readonly Seen[]): Finding {
  const { entry } = group.reduce((a, b) => (b.entry.time > a.entry.time ? b : a));
  const { namespace, image, verdict, reason, message } = entry;
  return {
    namespace,
    image,
    verdict,
    reason,
    message,
    enforced: group.some(
      ({ entry: { mode, action } }) => mode === 'enforce' && action !== 'none' && action !== '',
    ),
    containers: group.length,
    nodes: new Set(group.map(({ node }) => node)).size,
    pods: [...new Set(group.map((one) => one.entry.pod))].slice(0, SHOWN_PODS),
    since: Math.min(...group.map(({ first }) => first)),
    last: entry.time,
    mend: howToMend(reason, { namespace, image }),
  };
}

function countNamespaces(findings: readonly Finding[]): NamespaceCount[] {
  const count = (group: readonly Finding[], verdict: string): number =>
    group.filter((one) => one.verdict === verdict).reduce((sum, { containers }) => sum + containers, 0);
  return [...Map.groupBy(findings, ({ namespace }) => namespace)]
    .map(([namespace, group]) => ({
      namespace,
      denied: count(group, 'denied'),
      unverifiable: count(group, 'unverifiable'),
    }))
    .sort((a, b) => b.denied + b.unverifiable - (a.denied + a.unverifiable));
}
