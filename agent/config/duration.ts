const MILLISECONDS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const DURATION = /^(?:\d{1,15}(?:\.\d{1,9})?(?:ms|s|m|h)){1,8}$/;
const PART = /([\d.]+)(ms|s|m|h)/g;

/**
 * A duration as Go's time.ParseDuration reads it (`250ms`, `30s`, `1h30m`, `1.5h`, `0`), in whole
 * milliseconds; undefined for anything else. Signs and units below a millisecond are not accepted.
 */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  if (!DURATION.test(text)) return undefined;
  let total = 0;
  for (const [, amount = '', unit = ''] of text.matchAll(PART))
    total += Number(amount) * (MILLISECONDS[unit] ?? 0);
  return Math.round(total);
}

/** Milliseconds as a duration that parseDuration reads back: `1h30m`, `30s`, `250ms`. */
export function formatDuration(milliseconds: number): string {
  let rest = Math.round(milliseconds);
  let text = '';
  for (const [unit, size] of [
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1_000],
    ['ms', 1],
  ] as const) {
    if (rest >= size) text += `${Math.floor(rest / size)}${unit}`;
    rest %= size;
  }
  return text === '' ? '0s' : text;
}
