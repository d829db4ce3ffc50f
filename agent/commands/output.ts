import { stringify } from 'yaml';
import { printable } from '../printable.ts';
import { type Column, formatTable } from './table.ts';
import type { Terminal } from './terminal.ts';

export { type Column, formatTable } from './table.ts';

export const OUTPUT_FORMATS = ['table', 'wide', 'name', 'json', 'yaml'] as const;

export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** Where a subcommand writes what it was asked for; of a terminal it may know more. */
export type Print = ((text: string) => void) & { readonly terminal?: Terminal };

export type Output<Row> = {
  /** For JSON and YAML. */
  readonly data: unknown;
  readonly rows: readonly Row[];
  readonly columns: readonly Column<Row>[];
  /**
   * What `-o name` prints of a row, as `pod/web`; the first column when left out. Each name is printed once.
   */
  readonly name?: (row: Row) => string;
  /** Stands for a table without rows, as `(no denied decisions)`. */
  readonly empty?: string;
};

/**
 * Prints `data` as JSON or YAML, or its rows as a table. Text from tenants cannot move the cursor or forge a
 * line in any of them.
 */
export function printOutput<Row>(print: Print, format: OutputFormat, output: Output<Row>): void {
  print(textOf(format, output, print.terminal));
}

function textOf<Row>(format: OutputFormat, output: Output<Row>, terminal: Terminal | undefined): string {
  switch (format) {
    case 'json':
      return escapeLines(jsonText(output.data));
    case 'yaml':
      return escapeLines(yamlText(output.data));
    case 'name':
      return namesText(output);
    default:
      return tableText(output, format === 'wide', terminal);
  }
}

function tableText<Row>(
  { rows, columns, empty }: Output<Row>,
  wide: boolean,
  terminal: Terminal | undefined,
): string {
  if (rows.length === 0 && empty !== undefined) return `${empty}\n`;
  const shown = columns.filter((column) => wide || column.wide === undefined);
  // Who asks for the wide table wants all of it.
  const room = wide && terminal ? { ...terminal, columns: undefined } : terminal;
  return formatTable(shown, rows, room);
}

function namesText<Row>({ rows, columns, name = columns[0]?.value }: Output<Row>): string {
  const names = new Set(rows.map((row) => printable(name?.(row) ?? '')));
  return [...names].map((text) => `${text}\n`).join('');
}

function jsonText(data: unknown): string {
  return `${JSON.stringify(data, undefined, 2)}\n`;
}

/** Only in double quotes may what cannot be printed be written as an escape. */
function yamlText(data: unknown): string {
  return stringify(data, { defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN', lineWidth: 0 });
}

/** Milliseconds since the epoch as RFC 3339; empty for what is no time. */
export function timeText(milliseconds: number): string {
  const time = new Date(milliseconds);
  return Number.isNaN(time.getTime()) ? '' : time.toISOString();
}

function escapeLines(text: string): string {
  return text
    .split('\n')
    .map((line) => printable(line, Number.POSITIVE_INFINITY))
    .join('\n');
}
