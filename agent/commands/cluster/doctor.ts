import { z } from 'zod';
import { EXIT } from '../exit-code.ts';
import { type Column, type OutputFormat, type Print, printOutput } from '../output.ts';
import { toneOf } from '../terminal.ts';
import { askAgents, type Cluster, listAgents } from './agents.ts';
import { warnOfSilent } from './silent.ts';

const findings = z.array(
  z.object({ check: z.string(), status: z.string(), detail: z.string(), advice: z.string() }),
);

/** The same finding on some nodes. */
type Row = {
  readonly status: string;
  readonly check: string;
  readonly detail: string;
  readonly nodes: readonly string[];
};

const columns: readonly Column<Row>[] = [
  { header: 'STATUS', value: ({ status }) => status, tone: ({ status }) => toneOf(status) },
  { header: 'CHECK', value: ({ check }) => check },
  { header: 'NODES', value: ({ nodes }) => String(nodes.length) },
  { header: 'FOR EXAMPLE', value: ({ nodes }) => nodes[0] ?? '', cut: 'start' },
  { header: 'DETAIL', value: ({ detail }) => detail, maxLength: 1_000, wrap: true },
];

/**
 * `kubectl pullwarden doctor`: what doctor warns of on any node, the same warning once. Returns 1 when any
 * node has a failure, else 4 when not all agents answered.
 *
 * @throws CommandError
 */
export async function runClusterDoctor(
  cluster: Cluster,
  { output, print, warn }: { readonly output: OutputFormat; readonly print: Print; readonly warn: Print },
): Promise<number> {
  const agents = await listAgents(cluster);
  const read = (text: string) => findings.parse(JSON.parse(text));
  const answers = await askAgents(cluster, agents, ['doctor', '-o', 'json'], read);
  const found = answers.flatMap((answer) =>
    answer.problem === undefined
      ? answer.value
          .filter(({ status }) => status !== 'ok')
          .map(({ status, check, detail, advice }) => ({
            node: answer.agent.node,
            status,
            check,
            detail: advice === '' ? detail : `${detail} -> ${advice}`,
          }))
      : [],
  );
  const same = Map.groupBy(found, ({ status, check, detail }) => [status, check, detail].join('\0'));
  const rows = [...same.values()]
    .flatMap((group): Row[] => {
      const [first] = group;
      return first === undefined ? [] : [{ ...first, nodes: group.map(({ node }) => node) }];
    })
    .map(({ status, check, detail, nodes }) => ({ status, check, detail, nodes }))
    .sort((a, b) => b.nodes.length - a.nodes.length);
  const empty = `(nothing to mend on ${answers.filter(({ problem }) => problem === undefined).length} nodes)`;
  printOutput(print, output, { data: rows, rows, columns, empty });
  const silent = warnOfSilent(answers, warn);
  return rows.some(({ status }) => status === 'failure') ? EXIT.failed : silent;
}
