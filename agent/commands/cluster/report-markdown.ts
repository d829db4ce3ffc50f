import { printable } from '../../printable.ts';
import { formatAge } from '../age.ts';
import type { Report } from './findings.ts';
import { headline } from './report-text.ts';

/** The report for a ticket or a wiki. */
export function reportMarkdown(report: Report): string {
  const rows = report.findings.map((one) => [
    one.verdict,
    one.namespace,
    code(one.image),
    one.reason,
    String(one.containers),
    String(one.nodes),
    formatAge(report.time - one.since),
    one.mend,
  ]);
  const silent = report.silent.map(
    ({ node, pod, problem }) => `- no answer from ${code(node)} (${code(pod)}): ${escaped(problem)}\n`,
  );
  return [
    `# Pullwarden report, ${new Date(report.time).toISOString()}\n\n${headline(report)}\n`,
    ...(rows.length === 0
      ? []
      : [
          '\n| verdict | namespace | image | reason | containers | nodes | since | what to do |\n',
          '| --- | --- | --- | --- | ---: | ---: | --- | --- |\n',
          ...rows.map((cells) => `| ${cells.map(escaped).join(' | ')} |\n`),
        ]),
    ...(silent.length === 0 ? [] : ['\n', ...silent]),
  ].join('');
}

function code(text: string): string {
  return `\`${printable(text).replaceAll('`', "'")}\``;
}

/** Tenants choose names of images: they must not end a cell or begin a tag. */
function escaped(text: string): string {
  return printable(text).replaceAll('|', '\\|').replaceAll('<', '&lt;');
}
