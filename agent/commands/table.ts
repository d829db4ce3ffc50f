import { printable } from '../printable.ts';
import { NO_TERMINAL, type Terminal, type Tone, toned } from './terminal.ts';

export type Column<Row> = {
  readonly header: string;
  readonly value: (row: Row) => string;
  /** Longer text is cut; 200 characters when left out. */
  readonly maxLength?: number;
  /**
   * May be cut further so that the table fits a terminal, at this side: `start` keeps what an image or id
   * ends with. Columns without it are never cut.
   */
  readonly cut?: 'start' | 'end';
  readonly tone?: (row: Row) => Tone | undefined;
  /** Only in `-o wide`. */
  readonly wide?: true;
};

const MAX_CELL = 200;
const GAP = '  ';
/** What is left of a column that is cut, at least. */
const LEAST_WIDTH = 10;

/** Aligned columns under upper-case headers, two spaces apart, as kubectl writes them. */
export function formatTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  terminal: Terminal = NO_TERMINAL,
): string {
  const cells = rows.map((row) =>
    columns.map(({ value, maxLength }) => printable(value(row), maxLength ?? MAX_CELL) || '-'),
  );
  const headers = columns.map(({ header }) => header);
  const natural = columns.map((_, index) =>
    Math.max(...[headers, ...cells].map((line) => line[index]?.length ?? 0)),
  );
  const widths = fitted(columns, natural, terminal.columns);
  const line = (texts: readonly string[], tones: readonly (Tone | undefined)[]): string => {
    const last = texts.length - 1;
    const padded = texts.map((text, index) => {
      const width = widths[index] ?? 0;
      const short = shortened(text, width, columns[index]?.cut);
      const tone = terminal.color ? tones[index] : undefined;
      return `${toned(short, tone)}${index === last ? '' : ' '.repeat(width - short.length)}`;
    });
    return `${padded.join(GAP).trimEnd()}\n`;
  };
  return [
    line(headers, []),
    ...cells.map((texts, index) => {
      const row = rows[index];
      return line(texts, row === undefined ? [] : columns.map(({ tone }) => tone?.(row)));
    }),
  ].join('');
}

/** Takes what is too much from the widest column that may be cut, again and again. */
function fitted<Row>(
  columns: readonly Column<Row>[],
  natural: readonly number[],
  room: number | undefined,
): readonly number[] {
  if (room === undefined) return natural;
  const widths = [...natural];
  const total = (): number => widths.reduce((sum, width) => sum + width, GAP.length * (widths.length - 1));
  for (let excess = total() - room; excess > 0; excess = total() - room) {
    const widest = columns.reduce<number | undefined>((best, { cut }, index) => {
      if (cut === undefined || (widths[index] ?? 0) <= leastWidth(columns[index])) return best;
      return best === undefined || (widths[index] ?? 0) > (widths[best] ?? 0) ? index : best;
    }, undefined);
    if (widest === undefined) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

function leastWidth<Row>(column: Column<Row> | undefined): number {
  return Math.max(LEAST_WIDTH, column?.header.length ?? 0);
}

function shortened(text: string, width: number, cut: 'start' | 'end' | undefined): string {
  if (text.length <= width) return text;
  return cut === 'start' ? `…${text.slice(text.length - width + 1)}` : `${text.slice(0, width - 1)}…`;
}
