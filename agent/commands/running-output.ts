import { stringify } from 'yaml';
import { printable } from '../printable.ts';
import type { OutputFormat, Print } from './output.ts';
import { type Column, formatTable, naturalWidths } from './table.ts';

/** How rows that come one after another are written (`--watch`). */
export type RunningOutput<Row> = {
  readonly print: Print;
  readonly format: OutputFormat;
  /** Ages are counted from `now`, in milliseconds since the epoch. */
  readonly columnsAt: (now: number) => readonly Column<Row>[];
  /** What `-o name` prints of a row. */
  readonly name: (row: Row) => string;
  /** For JSON and YAML. */
  readonly plain: (row: Row) => object;
};

const MAX_LINE = 100_000;

/**
 * JSON as one line for each row, YAML as documents: a reader need not wait for the end. A table has its
 * header once, and its columns only grow, as with `kubectl get --watch`.
 */
export function createRunningOutput<Row>(
  options: RunningOutput<Row>,
): (rows: readonly Row[], now: number) => void {
  const { print, format, columnsAt, name, plain } = options;
  let widths: readonly number[] | undefined;
  const printTable = (rows: readonly Row[], now: number): void => {
    const columns = columnsAt(now).filter(({ wide }) => format === 'wide' || wide === undefined);
    const terminal =
      format === 'wide' && print.terminal ? { ...print.terminal, columns: undefined } : print.terminal;
    const isFirst = widths === undefined;
    widths = naturalWidths(columns, rows).map((width, index) => Math.max(width, widths?.[index] ?? 0));
    const text = formatTable(columns, rows, terminal, widths);
    print(isFirst ? text : text.slice(text.indexOf('\n') + 1));
  };
  return (rows, now) => {
    if (rows.length === 0) return;
    if (format === 'json') print(rows.map((row) => `${oneLine(JSON.stringify(plain(row)))}\n`).join(''));
    else if (format === 'yaml') print(rows.map((row) => document(plain(row))).join(''));
    else if (format === 'name') print(rows.map((row) => `${printable(name(row))}\n`).join(''));
    else printTable(rows, now);
  };
}

function document(data: object): string {
  const text = stringify(data, { defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN', lineWidth: 0 });
  return `---\n${text.trimEnd().split('\n').map(oneLine).join('\n')}\n`;
}

function oneLine(text: string): string {
  return printable(text, MAX_LINE);
}
