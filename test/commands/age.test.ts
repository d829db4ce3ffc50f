import { describe, expect, it } from 'vitest';
import { formatAge, parseAge } from '../../agent/commands/age.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

describe('an age', () => {
  it.each([
    [0, '0s'],
    [-5, '0s'],
    [119_999, '119s'],
    [3 * MINUTE + 20_000, '3m20s'],
    [4 * MINUTE, '4m'],
    [47 * MINUTE, '47m'],
    [179 * MINUTE, '179m'],
    [5 * HOUR + 10 * MINUTE, '5h10m'],
    [30 * HOUR, '30h'],
    [3 * DAY + 4 * HOUR, '3d4h'],
    [12 * DAY, '12d'],
    [800 * DAY, '2y70d'],
  ])('of %i ms is %s, as kubectl writes it', (ms, text) => {
    expect(formatAge(ms)).toBe(text);
  });
});

describe('--since', () => {
  it.each([
    ['30m', 30 * MINUTE],
    ['5d', 5 * DAY],
    ['1d12h', 36 * HOUR],
    ['1.5h', 90 * MINUTE],
  ])('reads %s', (text, ms) => {
    expect(parseAge(text)).toBe(ms);
  });

  it.each(['', '5', 'd', '5dd', '-1d', '1d2d', '5 d', '1w'])('refuses %j', (text) => {
    expect(parseAge(text)).toBeUndefined();
  });
});
