import { printable } from '../../agent/printable.ts';
import type { Difference } from './vector.ts';

/** Long enough for a record, short enough for a screen. */
const MAX_VALUE = 2_000;

/**
 * A vector that failed, as a block: its name, then each difference with what was recorded and what came out.
 */
export function describeDifferences(name: string, differences: readonly Difference[]): string {
  const lines = differences.flatMap(({ what, expected, actual }) => [
    `  ${printable(what)}`,
    `    expected ${valueText(expected)}`,
    `    actual   ${valueText(actual)}`,
  ]);
  return `${[printable(name), ...lines].join('\n')}\n`;
}

function valueText(value: unknown): string {
  return printable(JSON.stringify(value) ?? 'nothing', MAX_VALUE);
}
