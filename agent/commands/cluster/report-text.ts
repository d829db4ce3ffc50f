import { printable } from '../../printable.ts';
import { formatAge } from '../age.ts';
import { type Column, formatTable } from '../table.ts';
import { type Terminal, toneOf } from '../terminal.ts';
import { wrappedLines } from '../wrap.ts';
import type { Finding, Report } from './findings.ts';

/** The report for a terminal: a table, and under it what to do about each line. */
export function reportText(report: Report, terminal: Terminal | undefined): string {
  const { findings } = report;
  const width = terminal?.columns ?? 100;
  if (findings.length === 0) return `${wrapped(headline(report), width)}\n${notes(report, width)}`;
  const numbered = findings.map((finding, index) => ({ ...finding, number: index + 1 }));
  const table = formatTable(columnsAt(report.time), numbered, terminal);
  const mends = [...Map.groupBy(numbered, ({ message, mend }) => `${printable(message)}\0${mend}`)].map(
    ([text, group]) => {
      const [message = '', mend = ''] = text.split('\0');
      const numbers = group.map(({ number }) => number).join(', ');
      return `${wrapped(`${numbers}: ${message}`, width)}\n${wrapped(mend, width, '    ')}\n`;
    },
  );
  return `${wrapped(headline(report), width)}\n\n${table}\n${mends.join('')}${notes(report, width)}`;
}

/** `12 containers in 3 namespaces would be denied …` in one sentence. */
export function headline({ findings, namespaces, agents, silent, since }: Report): string {
  const count = (verdict: string): number =>
    findings.filter((one) => one.verdict === verdict).reduce((sum, { containers }) => sum + containers, 0);
  const denied = count('denied');
  const unverifiable = count('unverifiable');
  const answered = `${agents - silent.length} of ${counted(agents, 'agent')} answered`;
  if (agents === silent.length) return `Nothing is known of the last ${since}: ${answered}.`;
  if (denied + unverifiable === 0) return `Nothing was denied in the last ${since}; ${answered}.`;
  const verb = verbOf(
    findings.filter(({ verdict }) => verdict === 'denied'),
    denied,
  );
  const more = unverifiable > 0 ? `, and ${unverifiable} could not be verified` : '';
  return (
    `In the last ${since}, ${counted(denied, 'container')} ${verb} denied${more}, ` +
    `in ${counted(namespaces.length, 'namespace')}; ${answered}.`
  );
}

function verbOf(denials: readonly Finding[], denied: number): string {
  const were = denied === 1 ? 'was' : 'were';
  if (denials.every(({ enforced }) => enforced)) return were;
  return denials.some(({ enforced }) => enforced) ? `${were} or would be` : 'would be';
}

/** `1 node`, `2 nodes`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function notes({ silent, cut }: Report, width: number): string {
  const lines = [
    ...silent.map(({ node, pod, problem }) => `no answer from ${node || 'no node'} (${pod}): ${problem}`),
    ...cut.map((node) => `${node} has more verdicts than were asked for; see --limit`),
  ];
  return lines.length === 0
    ? ''
    : `\n${lines.map((line) => `${wrapped(printable(line), width)}\n`).join('')}`;
}

type Numbered = Finding & { readonly number: number };

function columnsAt(now: number): readonly Column<Numbered>[] {
  return [
    { header: '#', value: ({ number }) => String(number) },
    { header: 'VERDICT', value: ({ verdict }) => verdict, tone: ({ verdict }) => toneOf(verdict) },
    { header: 'NAMESPACE', value: ({ namespace }) => namespace, cut: 'end' },
    { header: 'IMAGE', value: ({ image }) => image, cut: 'start' },
    { header: 'REASON', value: ({ reason }) => reason, cut: 'end' },
    { header: 'COUNT', value: ({ containers }) => String(containers) },
    { header: 'NODES', value: ({ nodes }) => String(nodes) },
    { header: 'SINCE', value: ({ since }) => formatAge(now - since) },
  ];
}

function wrapped(text: string, width: number, indent = ''): string {
  return wrappedLines(text, width - indent.length)
    .map((line) => `${indent}${line}`)
    .join('\n');
}
