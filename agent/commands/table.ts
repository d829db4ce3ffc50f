import { printable } from '../printable.ts';
import { NO_TERMINAL, type Terminal, type Tone, toned } from './terminal.ts';
import { wrappedLines } from './wrap.ts';

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
  /** The last column only: sentences, which go on below themselves where a terminal ends. */
  readonly wrap?: true;
  readonly tone?: (row: Row) => Tone | undefined;
  /** Only in `-o wide`. */
  readonly wide?: true;
};

const MAX_CELL = 200;
const GAP = '  ';
/** What is left of a column that is cut, at least. */
const LEAST_WIDTH = 10;
/** Sentences that get less room than this are no easier to read than those that the terminal breaks. */
const LEAST_WRAPPED = 30;

/** What each column takes for its header and these rows, in characters. */
export function naturalWidths<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): readonly number[] {
  const cells = cellsOf(columns, rows);
  return columns.map(({ header }, index) =>
    cells.reduce((most, line) => Math.max(most, line[index]?.length ?? 0), header.length),
  );
}

/**
 * Aligned columns under upper-case headers, two spaces apart, as kubectl writes them. `natural` are the widths
 * where they are known from rows that came before.
 */
export function formatTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  terminal: Terminal = NO_TERMINAL,
  natural: readonly number[] = naturalWidths(columns, rows),
): string {
  const cells = cellsOf(columns, rows);
  const headers = columns.map(({ header }) => header);
  const widths = fitted(columns, natural, terminal.columns);
  const begin = widths.slice(0, -1).reduce((sum, width) => sum + width + GAP.length, 0);
  const line = (texts: readonly string[], tones: readonly (Tone | undefined)[]): string => {
    const last = texts.length - 1;
    const padded = texts.map((text, index) => {
      const width = widths[index] ?? 0;
      const short = shortened(text, width, columns[index]);
      const tone = terminal.color ? tones[index] : undefined;
      return `${toned(short, tone)}${index === last ? '' : ' '.repeat(Math.max(0, width - short.length))}`;
    });
    return `${padded.join(GAP).trimEnd()}\n`;
  };
  const lines = (texts: readonly string[], tones: readonly (Tone | undefined)[]): string => {
    const sentences = texts.at(-1);
    if (columns.at(-1)?.wrap === undefined || terminal.columns === undefined || sentences === undefined) {
      return line(texts, tones);
    }
    const [first = '', ...rest] = wrappedLines(sentences, Math.max(LEAST_WRAPPED, terminal.columns - begin));
    const below = rest.map((text) => `${' '.repeat(begin)}${text}\n`);
    return `${line([...texts.slice(0, -1), first], tones)}${below.join('')}`;
  };
  return [
    line(headers, []),
    ...cells.map((texts, index) => {
      const row = rows[index];
      return lines(texts, row === undefined ? [] : columns.map(({ tone }) => tone?.(row)));
    }),
  ].join('');
}

function cellsOf<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): readonly (readonly string[])[] {
  return rows.map((row) =>
    columns.map(({ value, maxLength }) => printable(value(row), maxLength ?? MAX_CELL) || '-'),
  );
}

/** Takes what is too much from the widest column that may be cut, again and again. */
function fitted<Row>(
  columns: readonly Column<Row>[],
  natural: readonly number[],
  room: number | undefined,
): readonly number[] {
  if (room === undefined) return natural;
  const widths = natural.map((width, index) =>
    columns[index]?.wrap === undefined ? width : Math.min(width, LEAST_WRAPPED),
  );
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

function shortened<Row>(text: string, width: number, column: Column<Row> | undefined): string {
  if (column?.cut === undefined || text.length <= width) return text;
  return column.cut === 'start' ? `…${text.slice(text.length - width + 1)}` : `${text.slice(0, width - 1)}…`;
}
