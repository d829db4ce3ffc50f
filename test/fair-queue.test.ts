import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createFairQueue } from '../agent/fair-queue.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A queue, and which tasks were begun so far. */
function scene(pace?: { atOnce: number; perSecond: number }) {
  const queue = createFairQueue(2, pace, () => performance.now());
  const begun: string[] = [];
  const add = (namespace: string, count: number): void => {
    for (let n = 0; n < count; n += 1) {
      void queue.run(namespace, async () => {
        begun.push(namespace);
      });
    }
  };
  const begunAfter = async (ms: number): Promise<number> => {
    await vi.advanceTimersByTimeAsync(ms);
    return begun.length;
  };
  return { add, begunAfter, begun };
}

describe('reads of one namespace', () => {
  it('are begun at once as far as its pace allows, and then so many a second', async () => {
    const { add, begunAfter } = scene({ atOnce: 5, perSecond: 10 });
    add('greedy', 100);
    expect(await begunAfter(0)).toBe(5);
    expect(await begunAfter(1_000)).toBe(15);
    expect(await begunAfter(8_500)).toBe(100);
  });

  it('that wait for its pace hold up nobody else', async () => {
    const { add, begunAfter, begun } = scene({ atOnce: 5, perSecond: 10 });
    add('greedy', 100);
    await begunAfter(0);
    add('modest', 3);
    await begunAfter(0);
    expect(begun.filter((namespace) => namespace === 'modest')).toHaveLength(3);
  });

  it('may all be begun at once again after a while', async () => {
    const { add, begunAfter } = scene({ atOnce: 5, perSecond: 10 });
    add('greedy', 5);
    await begunAfter(500);
    add('greedy', 6);
    expect(await begunAfter(0)).toBe(10);
  });

  it('without a pace are only in turn', async () => {
    const { add, begunAfter } = scene();
    add('greedy', 100);
    expect(await begunAfter(0)).toBe(100);
  });
});
