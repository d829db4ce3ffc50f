import { formatAge } from '../age.ts';
import { type Column, timeText } from '../output.ts';
import { toneOf } from '../terminal.ts';
import type { Entry } from './entries.ts';

/** A verdict, and on which node. */
export type Row = Entry & { readonly node: string };

export function rowsOf(node: string, entries: readonly Entry[]): readonly Row[] {
  return entries.map((entry) => ({ ...entry, node }));
}

export function plainRow(row: Row): object {
  return { ...row, time: timeText(row.time) };
}

export function podName({ pod }: Row): string {
  return `pod/${pod}`;
}

export function columnsAt(now: number): readonly Column<Row>[] {
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
