import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatDuration, parseDuration } from '../../agent/config/duration.ts';

describe('a duration as Go writes it', () => {
  it.each([
    ['0', 0],
    ['0s', 0],
    ['250ms', 250],
    ['30s', 30_000],
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
    ['1m0.5s', 60_500],
    ['720h', 2_592_000_000],
  ])('%s is %d milliseconds', (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  it.each([
    '',
    '5',
    '-5s',
    '+5s',
    '5 s',
    's',
    '1d',
    '5S',
    '1h-5m',
    '1e3s',
    '.s',
    '5s\n',
    '٣s',
    '100us',
    '1'.repeat(40),
  ])('%j is none', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });

  it('is read back as it was written', () => {
    fc.assert(
      fc.property(fc.nat({ max: 10 * 365 * 86_400_000 }), (milliseconds) => {
        expect(parseDuration(formatDuration(milliseconds))).toBe(milliseconds);
      }),
    );
  });

  it('is a whole number of milliseconds or nothing, whatever the text', () => {
    const texts = fc.oneof(fc.string(), fc.stringMatching(/^[0-9.hms]{0,40}$/));
    fc.assert(
      fc.property(texts, (text) => {
        const parsed = parseDuration(text);
        expect(parsed === undefined || (Number.isInteger(parsed) && parsed >= 0)).toBe(true);
      }),
    );
  });
});
