import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createRetries } from '../../../agent/enforcement/guard/retries.ts';

/** What waits again as soon as it was tried, as a verdict does that still cannot be found. */
function retriesThatNeverEnd() {
  const tried: string[] = [];
  const retries = createRetries<string>((subject) => {
    tried.push(subject);
    retries.later(subject, subject);
  });
  return { retries, tried };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe('trying again', () => {
  it('comes after a delay that doubles from 10 s to 5 min', () => {
    vi.spyOn(Math, 'random').mockReturnValue(0);
    const { retries, tried } = retriesThatNeverEnd();
    retries.later('c1', 'c1');
    const tries = [10, 20, 40, 80, 160, 300, 300].map((seconds, n) => {
      vi.advanceTimersByTime(seconds * 1_000 - 1);
      const early = tried.length;
      vi.advanceTimersByTime(1);
      return early === n && tried.length === n + 1;
    });
    expect(tries).toEqual(Array(7).fill(true));
    retries.close();
  });

  it('comes soon after a change, once for a burst', () => {
    const { retries, tried } = retriesThatNeverEnd();
    retries.later('c1', 'c1');
    retries.onChange('c2', 'c2');
    for (let n = 0; n < 5; n += 1) retries.now();
    vi.advanceTimersByTime(250);
    expect(tried).toEqual(['c1', 'c2']);
    retries.close();
  });

  it('comes at most once a second for each, however often something changes', () => {
    const { retries, tried } = retriesThatNeverEnd();
    retries.later('c1', 'c1');
    for (let ms = 0; ms < 10_000; ms += 100) {
      retries.now();
      vi.advanceTimersByTime(100);
    }
    expect(tried.length).toBeGreaterThanOrEqual(8);
    expect(tried.length).toBeLessThanOrEqual(10);
    retries.close();
  });

  it('still comes for the last change of many', () => {
    const { retries, tried } = retriesThatNeverEnd();
    retries.onChange('c1', 'c1');
    retries.now();
    vi.advanceTimersByTime(300);
    retries.now();
    vi.advanceTimersByTime(300);
    expect(tried).toEqual(['c1']);
    vi.advanceTimersByTime(700);
    expect(tried).toEqual(['c1', 'c1']);
    retries.close();
  });

  it('does not come for what was forgotten', () => {
    const { retries, tried } = retriesThatNeverEnd();
    retries.later('c1', 'c1');
    retries.now();
    retries.forget('c1');
    vi.advanceTimersByTime(600_000);
    expect(tried).toEqual([]);
    expect(retries.size()).toBe(0);
  });
});
