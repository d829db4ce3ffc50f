import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createFairQueue } from '../agent/fair-queue.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A queue, and which tasks were begun so far. */
function scene(pace?: { atOnce: number; perSecond: number }) {
  const queue = createFairQueue({ atOnce: 2, ...(pace && { pace }) });
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

describe('places', () => {
  /** A task that ends when it is told to. */
  const held = () => Promise.withResolvers<void>();

  it('of one namespace are no more than its part', async () => {
    const queue = createFairQueue({ atOnce: 3, ofNamespace: 2 });
    const begun: string[] = [];
    const endless = (namespace: string) =>
      void queue.run(namespace, async () => {
        begun.push(namespace);
        await held().promise;
      });
    for (const namespace of ['a', 'a', 'a', 'b']) endless(namespace);
    expect([begun, queue.waiting('a'), queue.waiting('b')]).toEqual([['a', 'a', 'b'], 1, 0]);
  });

  it('are given back after a turn by what takes longer, which goes on', async () => {
    const queue = createFairQueue({ atOnce: 1, turnMs: 1_000 });
    const slow = held();
    const answered = queue.run('slow', async () => {
      await slow.promise;
      return 'answered after all';
    });
    const next = queue.run('next', async () => 'next');
    await vi.advanceTimersByTimeAsync(999);
    expect(queue.waiting('next')).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    await expect(next).resolves.toBe('next');
    slow.resolve();
    await expect(answered).resolves.toBe('answered after all');
    expect(queue.isIdle()).toBe(true);
  });

  it('are one while nothing has ended for the time that makes it silent', async () => {
    const queue = createFairQueue({ atOnce: 3, silentMs: 2_000 });
    const first = held();
    void queue.run('a', () => first.promise);
    await vi.advanceTimersByTimeAsync(2_001);
    const second = queue.run('b', async () => 'b');
    expect(queue.waiting('b')).toBe(1);
    first.resolve();
    await expect(second).resolves.toBe('b');
  });
});
