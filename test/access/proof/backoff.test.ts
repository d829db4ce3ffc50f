import { describe, expect, it } from 'vitest';
import { createBackoff } from '../../../agent/access/proof/backoff.ts';

const refused = { answer: 'refused' };

describe('the backoff of a question that was not granted', () => {
  it('holds the answer for 10 s, then lets it be asked again', () => {
    const backoff = createBackoff<typeof refused>();
    backoff.failed('q', refused, 0);
    expect(backoff.held('q', 9_999)?.outcome).toBe(refused);
    expect(backoff.held('q', 10_000)).toBeUndefined();
  });

  it('doubles with each answer in a row, up to 5 min', () => {
    const backoff = createBackoff<typeof refused>();
    let now = 0;
    const delays: number[] = [];
    for (let n = 0; n < 8; n += 1) {
      const { delayMs, until } = backoff.failed('q', refused, now);
      delays.push(delayMs / 1000);
      now = until;
    }
    expect(delays).toEqual([10, 20, 40, 80, 160, 300, 300, 300]);
  });

  it('doubles to the limit that it is given, and a row with another limit begins anew', () => {
    const backoff = createBackoff<typeof refused>();
    const delays = [0, 1, 2, 3].map((now) => backoff.failed('q', refused, now, 30_000).delayMs);
    expect(delays).toEqual([10_000, 20_000, 30_000, 30_000]);
    expect(backoff.failed('q', refused, 4).delayMs).toBe(10_000);
  });

  it('begins anew after a success, and after a long silence', () => {
    const backoff = createBackoff<typeof refused>();
    backoff.failed('q', refused, 0);
    backoff.failed('q', refused, 10_000);
    backoff.succeeded('q');
    expect(backoff.held('q', 10_001)).toBeUndefined();
    expect(backoff.failed('q', refused, 20_000).delayMs).toBe(10_000);
    expect(backoff.failed('q', refused, 20_000 + 3_600_000).delayMs).toBe(10_000);
  });

  it('holds back only the same question', () => {
    const backoff = createBackoff<typeof refused>();
    backoff.failed('q', refused, 0);
    expect(backoff.held('another credential', 1)).toBeUndefined();
  });

  it('stays bounded', () => {
    const backoff = createBackoff<typeof refused>();
    for (let n = 0; n <= 10_000; n += 1) backoff.failed(`q${n}`, refused, 0);
    expect(backoff.held('q0', 1)).toBeUndefined();
    expect(backoff.held('q10000', 1)?.outcome).toBe(refused);
  });
});
