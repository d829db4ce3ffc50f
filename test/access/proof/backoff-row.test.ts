import { describe, expect, it } from 'vitest';
import { createBackoff } from '../../../agent/access/proof/backoff.ts';

describe('a row of refusals', () => {
  // The first is held for 10 s; twice the longest delay of 300 s after that, the row is over.
  it.each([
    [609_999, 20_000],
    [610_000, 10_000],
  ])('that goes on after %i ms delays the next question by %i ms', (now, delayMs) => {
    const backoff = createBackoff<object>();
    backoff.failed('key', {}, 0);
    expect(backoff.failed('key', {}, now).delayMs).toBe(delayMs);
  });
});
