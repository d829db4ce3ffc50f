import { stringify } from 'yaml';
import { printable } from '../printable.ts';

export const OUTPUT_FORMATS = ['table', 'json', 'yaml'] as const;

export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** Where a subcommand writes what it was asked for. */
export type Print = (text: string) => void;

export type Column<Row> = {
  readonly header: string;
  readonly value: (row: Row) => string;
  /** Longer text is cut; 200 characters when left out. */
  readonly maxLength?: number;
};

const MAX_CELL = 200;

/**
 * Prints `data` as JSON or YAML, or its rows as a table. Text from tenants cannot move the cursor or forge a line in
 * any of them.
 */
export function printOutput<Row>(
  print: Print,
  format: OutputFormat,
  output: { readonly data: unknown; readonly rows: readonly Row[]; readonly columns: readonly Column<Row>[] },
): void {
  if (format === 'table') print(formatTable(output.columns, output.rows));
  else print(escapeLines(format === 'json' ? jsonText(output.data) : yamlText(output.data)));
}

function jsonText(data: unknown): string {
  return `${JSON.stringify(data, undefined, 2)}\n`;
}

/** Only in double quotes may what cannot be printed be written as an escape. */
function yamlText(data: unknown): string {
  return stringify(data, { defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN', lineWidth: 0 });
}

/** Aligned columns under upper-case headers, two spaces apart, as kubectl writes them. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = [
    columns.map(({ header }) => header),
    ...rows.map((row) =>
      columns.map(({ value, maxLength }) => printable(value(row), maxLength ?? MAX_CELL) || '-'),
    ),
  ];
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => line[index]?.length ?? 0)));
  return cells
    .map(
      (line) =>
        `${line
          .map((cell, index) => cell.padEnd(widths[index] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
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
