import { formatAge } from '../age.ts';
import { cutNote } from '../decisions.ts';
import { EXIT } from '../exit-code.ts';
import { type Column, type OutputFormat, type Print, printOutput, timeText } from '../output.ts';
import { toneOf } from '../terminal.ts';
import { type Answer, askAgents, type Cluster, listAgents } from './agents.ts';
import { type Entry, readEntries } from './entries.ts';

type Row = Entry & { readonly node: string };

/**
 * `kubectl pullwarden decisions`: the audit trails of all nodes as one, the newest first. `args` are passed
 * on to each agent as they are. Returns 4 when not all agents answered.
 *
 * @throws CommandError
 */
export async function runClusterDecisions(
  cluster: Cluster,
  args: readonly string[],
  options: {
    readonly output: OutputFormat;
    readonly limit: number;
    readonly print: Print;
    readonly warn: Print;
    readonly now?: number;
  },
): Promise<number> {
  const { output, limit, print, warn, now = Date.now() } = options;
  const agents = await listAgents(cluster);
  const passed = ['decisions', '-o', 'json', '--limit', String(limit), ...args];
  const answers = await askAgents(cluster, agents, passed, readEntries);
  const found = answers.flatMap((answer) =>
    answer.problem === undefined ? rowsOf(answer.agent.node, answer.value) : [],
  );
  const rows = found.toSorted((a, b) => b.time - a.time).slice(0, limit);
  const data = rows.map((row) => ({ ...row, time: timeText(row.time) }));
  const name = ({ pod }: Row): string => `pod/${pod}`;
  printOutput(print, output, { data, rows, columns: columnsAt(now), name, empty: '(no decisions)' });
  if (found.length > rows.length && (output === 'table' || output === 'wide')) {
    const isCut = answers.some((answer) => answer.problem === undefined && answer.value.length >= limit);
    print(cutNote(rows.length, found.length, isCut));
  }
  return warnOfSilent(answers, warn);
}

/** Names the agents that said nothing, and returns the exit code that says whether there were any. */
export function warnOfSilent(answers: readonly Answer<unknown>[], warn: Print): number {
  const silent = answers.filter(({ problem }) => problem !== undefined);
  for (const { agent, problem } of silent) warn(`no answer from ${agent.node} (${agent.pod}): ${problem}\n`);
  return silent.length > 0 ? EXIT.unknown : EXIT.ok;
}

function rowsOf(node: string, entries: readonly Entry[]): Row[] {
  return entries.map((entry) => ({ ...entry, node }));
}

function columnsAt(now: number): readonly Column<Row>[] {
  return [
    { header: 'AGE', value: ({ time }) => formatAge(now - time) },
    { header: 'NODE', value: ({ node }) => node, cut: 'start' },
    { header: 'VERDICT', value: ({ verdict }) => verdict, tone: ({ verdict }) => toneOf(verdict) },
    { header: 'NAMESPACE', value: ({ namespace }) => namespace, cut: 'end' },
    { header: 'POD', value: ({ pod }) => pod, cut: 'end' },
    { header: 'REASON', value: ({ reason }) => reason, cut: 'end' },
    { header: 'IMAGE', value: ({ image }) => image, cut: 'start' },
    { header: 'CONTAINER', value: ({ container }) => container, wide: true },
    { header: 'MESSAGE', value: ({ message }) => message, maxLength: 1_024, wide: true },
  ];
}
