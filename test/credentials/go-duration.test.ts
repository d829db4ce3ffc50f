import { describe, expect, it } from 'vitest';
import { millisecondsOf, parseGoDuration } from '../../agent/credentials/go-duration.ts';

describe("a duration as Go's time.ParseDuration reads it", () => {
  it.each([
    ['0', 0n],
    ['-0', 0n],
    ['1.s', 1_000_000_000n],
    ['.5s', 500_000_000n],
    ['1h30m', 5_400_000_000_000n],
    ['1.5h3ms', 5_400_003_000_000n],
    ['1m1m', 120_000_000_000n],
    ['+3\u00b5s', 3_000n],
    ['-1ns', -1n],
    ['0.9ns', 0n],
    ['0.333333333333333333333333s', 333_333_333n],
    ['-9223372036854775808ns', -(1n << 63n)],
  ])('%s', (text, nanoseconds) => {
    expect(parseGoDuration(text)).toBe(nanoseconds);
  });

  it.each([
    '',
    '-',
    '5',
    '5m5',
    '1d',
    '1H',
    ' 5m',
    '5m ',
    '.s',
    '1..s',
    '1:30',
    '--1s',
    '1 s',
    '1e3s',
    '9223372036854775808ns',
  ])('%j is none', (text) => {
    expect(parseGoDuration(text)).toBeUndefined();
  });
});

it('a millisecond is a million nanoseconds', () => {
  expect(millisecondsOf(1_500_000n)).toBe(1.5);
});
