/** Of `--limit`, here and asked of each agent. */
export const MAX_LIMIT = 100_000;

/** `(100 of 2,340; --limit shows more)`; `atLeast` where some who were asked may have more than they told. */
export function cutNote(shown: number, total: number, atLeast = false): string {
  const grouped = (count: number): string => count.toLocaleString('en-US');
  return `(${grouped(shown)} of ${grouped(total)}${atLeast ? ' or more' : ''}; --limit shows more)\n`;
}
