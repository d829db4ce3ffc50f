import { describe, expect, it } from 'vitest';
import { createTimeBudget } from '../../../agent/enforcement/veto/time-budget.ts';

const UNTIL_DEADLINE_MS = 1_800;
/** Enough to look up what is on record on a busy node: nobody gets less who has something left. */
const LOOKUP_MS = 50;
/** The longest wait while others are asked about, and how long after that one is alone again. */
const BESIDE_OTHERS_MS = 250;
const ALONE_AFTER_MS = 30_000;
/** How long one that was waited for in vain goes behind. */
const BEHIND_MS = 10_000;
/** All that is left to a namespace that has used up its own, and what is counted against nobody. */
const IN_DEBT_MS = 10;

function budget(limits = { namespaceMs: 1_000, nodeMs: 2_000 }) {
  const clock = { now: 1_000_000 };
  const { patienceMs, created, spent } = createTimeBudget(() => clock.now, limits);
  /**
   * The runtime asks, and the answer comes `takesMs` later or when patience is over; gives how long it
   * waited.
   */
  const wait = (namespace: string, takesMs = Number.POSITIVE_INFINITY, granted = false): number => {
    const waitedMs = Math.min(patienceMs(namespace, UNTIL_DEADLINE_MS), takesMs);
    clock.now += waitedMs;
    spent(namespace, waitedMs, granted && waitedMs === takesMs);
    return waitedMs;
  };
  return { clock, patienceMs, created, spent, wait };
}

describe('the time that the runtime waits for the veto', () => {
  it('is at first what a namespace may take at once, and never more than is left until the deadline', () => {
    const { patienceMs } = budget();
    expect(patienceMs('team-a', UNTIL_DEADLINE_MS)).toBe(1_000);
    expect(patienceMs('team-a', 300)).toBe(300);
    expect(patienceMs('team-a', -5)).toBe(0);
  });

  it('is used up by a namespace whose registry never answers, and comes back by 1 % of the time', () => {
    const { clock, patienceMs, wait } = budget();
    expect(wait('team-b')).toBe(1_000);
    expect(wait('team-b')).toBeLessThan(LOOKUP_MS / 2);
    clock.now += 50_000;
    const back = patienceMs('team-b', UNTIL_DEADLINE_MS);
    expect(back).toBeGreaterThan(400);
    expect(back).toBeLessThan(520);
    clock.now += 600_000;
    expect(patienceMs('team-b', UNTIL_DEADLINE_MS)).toBe(1_000);
  });

  it('is nothing for a namespace that has used it up and has an answer from its last question', () => {
    const { patienceMs, wait } = budget();
    expect(patienceMs('team-b', UNTIL_DEADLINE_MS, true)).toBe(1_000);
    wait('team-b');
    expect(patienceMs('team-b', UNTIL_DEADLINE_MS, true)).toBe(0);
    expect(patienceMs('team-b', UNTIL_DEADLINE_MS, false)).toBe(IN_DEBT_MS);
  });

  it('is used up alike by a registry that answers, but slowly', () => {
    const { wait } = budget();
    const waits = [900, 900, 900].map((takesMs) => wait('team-b', takesMs));
    expect(waits[0]).toBe(900);
    expect(waits[1]).toBeLessThan(150);
    expect(waits[2]).toBeLessThan(LOOKUP_MS / 2);
  });

  it('lasts four times as long where rights are found soon, and no longer where they are found slowly', () => {
    const count = (takesMs: number): number => {
      const { wait } = budget();
      let found = 0;
      while (found < 100 && wait('team-a', takesMs, true) === takesMs) found += 1;
      return found;
    };
    expect(count(150)).toBeGreaterThan(25);
    expect(count(150)).toBeLessThan(40);
    expect(count(400)).toBe(2);
  });

  it('of one namespace is not another`s', () => {
    const { clock, wait, patienceMs } = budget();
    wait('team-b');
    clock.now += ALONE_AFTER_MS;
    expect(patienceMs('team-a', UNTIL_DEADLINE_MS)).toBeGreaterThan(900);
  });

  it('is short while containers of other namespaces are created, which would wait as well', () => {
    const { clock, wait, patienceMs } = budget();
    expect(patienceMs('team-a', UNTIL_DEADLINE_MS)).toBe(1_000);
    clock.now += ALONE_AFTER_MS - 1;
    expect(wait('team-b')).toBe(BESIDE_OTHERS_MS);
    expect(wait('team-a')).toBe(BESIDE_OTHERS_MS);
    clock.now += ALONE_AFTER_MS;
    expect(wait('team-b')).toBeGreaterThan(BESIDE_OTHERS_MS);
  });

  it('is as short beside containers that were created without a question', () => {
    const { created, patienceMs } = budget();
    created('team-a');
    expect(patienceMs('team-b', UNTIL_DEADLINE_MS)).toBe(BESIDE_OTHERS_MS);
  });

  it('is over for a while, beside others, for a namespace that was waited for in vain', () => {
    for (const waitInVain of [
      ({ wait }: ReturnType<typeof budget>) => wait('team-b'),
      ({ wait }: ReturnType<typeof budget>) => wait('team-b', 100),
    ]) {
      const all = budget();
      const { clock, wait, patienceMs } = all;
      wait('team-a', 5, true);
      waitInVain(all);
      wait('team-a', 5, true);
      expect(patienceMs('team-b', UNTIL_DEADLINE_MS)).toBe(IN_DEBT_MS);
      expect(patienceMs('team-b', UNTIL_DEADLINE_MS, true)).toBe(0);
      wait('team-a', 5, true);
      clock.now += BEHIND_MS;
      wait('team-a', 5, true);
      expect(patienceMs('team-b', UNTIL_DEADLINE_MS)).toBe(BESIDE_OTHERS_MS);
    }
  });

  it('is not over for one that had a right in the end, nor for one that nobody waits beside', () => {
    const { clock, wait, patienceMs } = budget();
    wait('team-a', 5, true);
    wait('team-b', 100);
    wait('team-b', 5, true);
    wait('team-a', 5, true);
    expect(patienceMs('team-b', UNTIL_DEADLINE_MS)).toBe(BESIDE_OTHERS_MS);
    wait('team-b', 100);
    clock.now += ALONE_AFTER_MS;
    expect(patienceMs('team-b', UNTIL_DEADLINE_MS)).toBeGreaterThan(BESIDE_OTHERS_MS);
  });

  it('is not over because of refusals that take no longer than a lookup', () => {
    const { wait, patienceMs } = budget();
    wait('team-a', 5, true);
    wait('team-b', LOOKUP_MS);
    wait('team-a', 5, true);
    expect(patienceMs('team-b', UNTIL_DEADLINE_MS)).toBe(BESIDE_OTHERS_MS);
  });

  it('is bounded for the node, however many namespaces wait, but leaves a first wait to each', () => {
    const { clock, wait } = budget();
    const all = Array.from({ length: 10 }, (_, nth) => `team-${nth}`);
    const waits = all.map((namespace) => wait(namespace));
    expect(waits.slice(0, 5)).toEqual([1_000, ...Array(4).fill(BESIDE_OTHERS_MS)]);
    expect(waits.slice(6)).toEqual(Array(4).fill(200));
    // The second time round nobody is new; those that have not used up their own still get a lookup.
    clock.now += BEHIND_MS;
    const again = all.map((namespace) => wait(namespace));
    expect(again[0]).toBeLessThanOrEqual(LOOKUP_MS);
    expect(again.slice(1)).toEqual(Array(9).fill(LOOKUP_MS));
  });

  it('is not used up by verdicts that are on record', () => {
    const { wait } = budget();
    for (let times = 0; times < 10_000; times += 1) wait('team-a', 8);
    expect(wait('team-a')).toBe(1_000);
  });

  it('leaves a lookup to everybody, so that what is on record is still answered', () => {
    const { wait, patienceMs } = budget();
    for (let times = 0; times < 20; times += 1) wait('team-b');
    expect(patienceMs('team-b', UNTIL_DEADLINE_MS)).toBeGreaterThanOrEqual(IN_DEBT_MS);
    expect(patienceMs('team-b', 5)).toBe(5);
  });

  it('does not grow with the questions of a namespace that has used up its own', () => {
    const { clock, wait, patienceMs } = budget();
    wait('team-b');
    let waitedMs = 0;
    for (let times = 0; times < 60; times += 1) waitedMs += wait('team-b');
    expect(waitedMs).toBeLessThan(1_000);
    // And nobody else has less for it.
    clock.now += ALONE_AFTER_MS;
    expect(patienceMs('team-a', UNTIL_DEADLINE_MS)).toBe(1_000);
  });

  it('is owed for a limited time only, however long one wait was', () => {
    const { clock, patienceMs, spent } = budget();
    spent('team-b', 3_600_000, false);
    clock.now += 401_000;
    expect(patienceMs('team-b', UNTIL_DEADLINE_MS)).toBe(1_000);
  });

  it('that one tenant takes from the others by asking for ten minutes is 1 %, after its first second', () => {
    const { clock, wait } = budget();
    const TEN_MINUTES_MS = 600_000;
    const until = clock.now + TEN_MINUTES_MS;
    let waitedMs = 0;
    while (clock.now < until) {
      // What a lookup takes is not refused to anybody; the caller asks for none where it knows that nothing
      // is settled.
      waitedMs += wait('team-b') - IN_DEBT_MS;
      clock.now += 30_000;
    }
    expect(waitedMs).toBeLessThan(1_000 + TEN_MINUTES_MS * 0.01);
  });
});
