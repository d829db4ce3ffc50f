import { CommandError } from '../../errors.ts';
import { parseAge } from '../age.ts';
import { EXIT } from '../exit-code.ts';
import { type Print, printOutput, timeText } from '../output.ts';
import { askAgents, type Cluster, listAgents } from './agents.ts';
import { readEntries } from './entries.ts';
import { type Report, reportOf, trailOf } from './findings.ts';
import { reportHtml } from './report-html.ts';
import { reportMarkdown } from './report-markdown.ts';
import { reportText } from './report-text.ts';

export const REPORT_FORMATS = ['table', 'json', 'yaml', 'markdown', 'html'] as const;

export type ReportFormat = (typeof REPORT_FORMATS)[number];

export type ReportFlags = {
  readonly since: string;
  readonly namespace?: string | undefined;
  readonly limit: number;
  readonly output: ReportFormat;
};

/**
 * `kubectl pullwarden report`: what is denied, or would be, in the whole cluster, and how to mend it. Returns
 * 4 when not all agents answered.
 *
 * @throws CommandError
 */
export async function runReport(
  cluster: Cluster,
  { since, namespace, limit, output }: ReportFlags,
  { print, now = Date.now() }: { readonly print: Print; readonly now?: number },
): Promise<number> {
  if (parseAge(since) === undefined) {
    throw new CommandError('usage', `--since: ${since} is not allowed, it must be a duration such as 24h`);
  }
  const agents = await listAgents(cluster);
  const args = ['decisions', '-o', 'json', '--since', inHours(since), '--limit', String(limit)];
  const ofNamespace = namespace === undefined ? [] : ['--namespace', namespace];
  const answers = await askAgents(cluster, agents, [...args, ...ofNamespace], (text) =>
    trailOf(readEntries(text)),
  );
  const report = reportOf(answers, { time: now, since, limit });
  switch (output) {
    case 'html':
      print(reportHtml(report));
      break;
    case 'markdown':
      print(reportMarkdown(report));
      break;
    case 'table':
      print(reportText(report, print.terminal));
      break;
    default:
      printOutput(print, output, { data: plainReport(report), rows: [], columns: [] });
  }
  return report.silent.length > 0 ? EXIT.unknown : EXIT.ok;
}

/** Agents of the first version know no days. */
function inHours(since: string): string {
  return since.replace(/^(\d+)d/, (_, days: string) => `${Number(days) * 24}h`);
}

function plainReport(report: Report): object {
  const findings = report.findings.map((one) => ({
    ...one,
    since: timeText(one.since),
    last: timeText(one.last),
  }));
  return { ...report, time: timeText(report.time), findings };
}
