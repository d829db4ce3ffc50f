import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isDue } from '../../../agent/access/renewal/due.ts';
import type { Grant } from '../../../agent/records/types.ts';

const HOUR = 3_600_000;
const NOW = 1_800_000_000_000;

function grantOf(n: number, verifiedAt: number | undefined): Grant {
  const grantee = { kind: 'kubernetesSecret' as const, namespace: `team-${n}`, name: 's', uid: `u${n}` };
  return { imageRef: 'sha256:aa', trimmedImage: 'reg.example.com/app', grantee, verifiedAt };
}

const due = (grant: Grant, ttlMs = HOUR) => isDue(grant, { ttlMs, nowMs: NOW });

describe('a grant on record', () => {
  it('is asked about before its time is over, and not in the first half of it', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1_000, max: 365 * 24 * HOUR }), (n, ttlMs) => {
        expect(due(grantOf(n, NOW - ttlMs), ttlMs)).toBe(true);
        expect(due(grantOf(n, NOW - Math.floor(ttlMs / 2) + 1), ttlMs)).toBe(false);
      }),
    );
  });

  it('is asked about where nobody knows when it was granted, or where that is in the future', () => {
    expect(due(grantOf(1, undefined))).toBe(true);
    expect(due(grantOf(1, NOW + 24 * HOUR))).toBe(true);
  });

  it('goes by what this agent heard, and not by a wall clock that jumps', () => {
    const last = { renewed: 'granted', agoMs: 1_000 } as const;
    for (const verifiedAt of [NOW - 24 * HOUR, NOW + 24 * HOUR, undefined]) {
      expect(isDue(grantOf(1, verifiedAt), { ttlMs: HOUR, nowMs: NOW, last })).toBe(false);
      const old = { ...last, agoMs: HOUR };
      expect(isDue(grantOf(1, verifiedAt), { ttlMs: HOUR, nowMs: NOW, last: old })).toBe(true);
    }
  });

  it('is asked about again after some minutes where nobody answered', () => {
    const last = (agoMs: number) => ({ renewed: 'unverifiable' as const, agoMs });
    const old = grantOf(1, NOW - HOUR);
    expect(isDue(old, { ttlMs: 24 * HOUR, nowMs: NOW, last: last(599_000) })).toBe(false);
    expect(isDue(old, { ttlMs: 24 * HOUR, nowMs: NOW, last: last(600_000) })).toBe(true);
  });

  it('of one age is not due together with all others', () => {
    const grants = Array.from({ length: 1_000 }, (_, n) => grantOf(n, NOW - 0.7 * HOUR));
    const share = grants.filter((grant) => due(grant)).length / grants.length;
    expect(share).toBeGreaterThan(0.3);
    expect(share).toBeLessThan(0.7);
  });
});
