import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Renewed } from '../../../agent/access/renewal/due.ts';
import { createPace } from '../../../agent/access/renewal/pace.ts';
import { startRenewal } from '../../../agent/access/renewal/renewal.ts';
import type { Grant } from '../../../agent/records/types.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

function grantOf(n: number, verifiedAt: number): Grant {
  const grantee = { kind: 'kubernetesSecret' as const, namespace: `team-${n}`, name: 's', uid: `u${n}` };
  return { imageRef: `sha256:${n}`, trimmedImage: 'reg.example.com/app', grantee, verifiedAt };
}

type Setup = {
  readonly count: number;
  readonly ageMs: number;
  readonly perMinute?: number;
  readonly said?: Renewed;
  readonly wall?: () => number;
};

/** Records of this age (ms), and when each was asked about, by the clock of the test. */
function agent({ count, ageMs, perMinute = 60, said = 'granted', wall = () => Date.now() }: Setup) {
  const grants = Array.from({ length: count }, (_, n) => grantOf(n, Date.now() - ageMs));
  const askedAt: number[] = [];
  const revoked: string[] = [];
  const pace = createPace(perMinute);
  const renewal = startRenewal({
    ttlMs: HOUR,
    store: { listGrants: () => grants, verifiedAt: () => undefined, refresh: () => undefined },
    renew: async () => {
      askedAt.push(performance.now());
      return said;
    },
    pace,
    now: wall,
    monotonicNow: () => performance.now(),
    onRevoked: ({ imageRef }) => revoked.push(imageRef),
    onRenewed: () => undefined,
  });
  const close = async () => {
    pace.close();
    await renewal.close();
  };
  return { askedAt, revoked, close };
}

/** The most that was asked within any minute. */
function mostInAMinute(times: readonly number[]): number {
  return Math.max(...times.map((from) => times.filter((at) => at >= from && at < from + MINUTE).length));
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('--record-ttl', () => {
  it('makes no storm of 1,000 records that expire at once, and asks about each of them once', async () => {
    const { askedAt, close } = agent({ count: 1_000, ageMs: 2 * HOUR });
    await vi.advanceTimersByTimeAsync(20 * MINUTE);
    expect(askedAt).toHaveLength(1_000);
    expect(mostInAMinute(askedAt)).toBe(60);
    await close();
  });

  it('asks about a new record within its time, and then again within the next', async () => {
    const { askedAt, close } = agent({ count: 1, ageMs: 0 });
    await vi.advanceTimersByTimeAsync(HOUR / 2 - MINUTE);
    expect(askedAt).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(HOUR / 2 + MINUTE);
    expect(askedAt).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(HOUR);
    expect(askedAt.length).toBeGreaterThanOrEqual(2);
    await close();
  });

  it('says whose images were refused, and of an outage says nothing', async () => {
    const refused = agent({ count: 2, ageMs: 2 * HOUR, said: 'refused' });
    const down = agent({ count: 2, ageMs: 2 * HOUR, said: 'unverifiable' });
    await vi.advanceTimersByTimeAsync(3 * MINUTE);
    expect(refused.revoked).toEqual(['sha256:0', 'sha256:1']);
    expect(down.revoked).toEqual([]);
    await refused.close();
    await down.close();
  });

  it('asks no more than once in its time while the wall clock jumps a day back and forth', async () => {
    let jumps = 0;
    const day = 24 * HOUR;
    const wall = () => Date.now() + (jumps++ % 2 === 0 ? day : -day);
    const { askedAt, close } = agent({ count: 10, ageMs: 0, wall });
    await vi.advanceTimersByTimeAsync(HOUR / 2 - MINUTE);
    expect(askedAt).toHaveLength(10);
    await close();
  });
});
