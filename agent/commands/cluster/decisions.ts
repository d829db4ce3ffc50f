import { cutNote } from '../limit.ts';
import { type OutputFormat, type Print, printOutput } from '../output.ts';
import { createRunningOutput } from '../running-output.ts';
import { askAgents, type Cluster, listAgents } from './agents.ts';
import { readEntries } from './entries.ts';
import { columnsAt, plainRow, podName, type Row, rowsOf } from './rows.ts';
import { warnOfSilent } from './silent.ts';
import { watchAgents } from './watch.ts';

export type ClusterDecisions = {
  /** `--denied`, `--namespace` and the pod, passed on to each agent as they are. */
  readonly filter: readonly string[];
  /** As it was given (`24h`); everything when undefined. */
  readonly since: string | undefined;
  readonly limit: number;
  readonly output: OutputFormat;
  readonly print: Print;
  readonly warn: Print;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
};

/**
 * `kubectl pullwarden decisions`: the audit trails of all nodes as one, the newest first. Returns 4 when not
 * all agents answered.
 *
 * @throws CommandError
 */
export async function runClusterDecisions(cluster: Cluster, options: ClusterDecisions): Promise<number> {
  const { output, print, warn, limit, now = Date.now } = options;
  const { rows, found, isCut, answers } = await listAll(cluster, options);
  printOutput(print, output, {
    data: rows.map(plainRow),
    rows,
    columns: columnsAt(now()),
    name: podName,
    empty: '(no decisions)',
  });
  if (found > rows.length && (output === 'table' || output === 'wide')) {
    print(cutNote(Math.min(limit, rows.length), found, isCut));
  }
  return warnOfSilent(answers, warn);
}

/**
 * `kubectl pullwarden decisions --watch`: what is there, the oldest first, and then what comes on any node,
 * until `signal` ends it.
 *
 * @throws CommandError
 */
export async function watchClusterDecisions(
  cluster: Cluster,
  options: ClusterDecisions & { readonly signal: AbortSignal },
): Promise<void> {
  const { filter, output, print, warn, signal, now = Date.now } = options;
  const begin = now();
  const { rows, answers } = await listAll(cluster, options);
  const printMore = createRunningOutput<Row>({
    print,
    format: output,
    columnsAt,
    name: podName,
    plain: plainRow,
  });
  printMore(rows.toReversed(), now());
  warnOfSilent(answers, warn);
  await watchAgents(cluster, {
    filter,
    begin,
    known: new Map(answers.map(({ agent, value }) => [agent.pod, value ?? []])),
    onEntry: ({ node }, entry) => printMore(rowsOf(node, [entry]), now()),
    warn,
    signal,
  });
}

async function listAll(cluster: Cluster, { filter, since, limit }: ClusterDecisions) {
  const args = ['decisions', '-o', 'json', '--limit', String(limit), ...filter];
  const ofTime = since === undefined ? [] : ['--since', since];
  const answers = await askAgents(cluster, await listAgents(cluster), [...args, ...ofTime], readEntries);
  const found = answers.flatMap(({ agent, value }) => rowsOf(agent.node, value ?? []));
  return {
    answers,
    rows: found.toSorted((a, b) => b.time - a.time).slice(0, limit),
    found: found.length,
    /** Some agent may have more than it was asked for. */
    isCut: answers.some(({ value }) => (value?.length ?? 0) >= limit),
  };
}
