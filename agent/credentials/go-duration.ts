/** As Go counts time: 64 bits of nanoseconds. */
export type Nanoseconds = bigint;

const LARGEST = 1n << 63n;

const UNITS: ReadonlyMap<string, bigint> = new Map([
  ['ns', 1n],
  ['us', 1_000n],
  ['\u00b5s', 1_000n],
  ['\u03bcs', 1_000n],
  ['ms', 1_000_000n],
  ['s', 1_000_000_000n],
  ['m', 60_000_000_000n],
  ['h', 3_600_000_000_000n],
]);

/**
 * A duration as Go's time.ParseDuration reads it: `1h30m`, `-1.5s`, `0`. Undefined where it gives an error.
 */
export function parseGoDuration(text: string): Nanoseconds | undefined {
  const negative = text.startsWith('-');
  let rest = negative || text.startsWith('+') ? text.slice(1) : text;
  if (rest === '0') return 0n;
  if (rest === '') return undefined;
  let sum = 0n;
  while (rest !== '') {
    const found = /^([0-9]*)(?:\.([0-9]*))?([^0-9.]+)/.exec(rest);
    if (!found) return undefined;
    const [part, whole = '', fraction = '', unitName = ''] = found;
    const unit = UNITS.get(unitName);
    if (unit === undefined || (whole === '' && fraction === '')) return undefined;
    sum += BigInt(whole === '' ? 0 : whole) * unit + fractionOf(fraction, unit);
    if (sum > LARGEST) return undefined;
    rest = rest.slice(part.length);
  }
  if (negative) return -sum;
  return sum < LARGEST ? sum : undefined;
}

/** In milliseconds, as the agent's own clocks count. */
export function millisecondsOf(duration: Nanoseconds): number {
  return Number(duration) / 1_000_000;
}

/**
 * Go computes this part in floating point, and looks at no more digits than fit 63 bits (leadingFraction).
 */
function fractionOf(digits: string, unit: bigint): bigint {
  let value = 0n;
  let scale = 1;
  for (const digit of digits) {
    const next = value * 10n + BigInt(digit);
    if (next > LARGEST) break;
    value = next;
    scale *= 10;
  }
  return value === 0n ? 0n : BigInt(Math.trunc(Number(value) * (Number(unit) / scale)));
}
