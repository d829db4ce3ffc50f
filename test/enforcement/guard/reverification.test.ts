import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { denied, unverifiable } from '../../../agent/access/verdict.ts';
import {
  type EntitlementState,
  startReverification,
} from '../../../agent/enforcement/guard/reverification.ts';
import { guardScene, notEnforced, webContainer } from './scene.ts';

const HOUR = 3_600_000;
const refused = denied('registryRefused', '');
const down = unverifiable('registryUnavailable', '');

describe('--reverify-running', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function node(count: number, periodMs: number, said: (id: string) => EntitlementState = () => 'granted') {
    const running = Array.from({ length: count }, (_, n) => ({ id: `c${n}`, imageRef: `sha256:${n}` }));
    const asked: { id: string; at: number }[] = [];
    const reverification = startReverification({
      periodMs,
      running: () => running,
      reverify: async (id) => {
        asked.push({ id, at: performance.now() });
        return said(id);
      },
    });
    return { asked, running, ...reverification };
  }

  it('asks about everything once in each period, spread evenly', async () => {
    const { asked, states, close } = node(60, HOUR);
    await vi.advanceTimersByTimeAsync(HOUR);
    expect(new Set(asked.map(({ id }) => id)).size).toBe(60);
    expect(asked).toHaveLength(60);
    const gaps = asked.slice(1).map(({ at }, n) => at - (asked[n]?.at ?? 0));
    expect([Math.min(...gaps), Math.max(...gaps)]).toEqual([60_000, 60_000]);
    await vi.advanceTimersByTimeAsync(HOUR);
    expect(asked.slice(60).map(({ id }) => id)).toEqual(asked.slice(0, 60).map(({ id }) => id));
    expect(states()).toEqual({ granted: 60, refused: 0, unverifiable: 0, notAsked: 0 });
    await close();
  });

  it('asks first about what runs by a grant that was taken away, and about that also where it is off', async () => {
    const { asked, revoked, states, close } = node(60, 0, () => 'refused');
    await vi.advanceTimersByTimeAsync(24 * HOUR);
    expect(asked).toEqual([]);
    revoked('sha256:7');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(asked.map(({ id }) => id)).toEqual(['c7']);
    expect(states()).toMatchObject({ refused: 1, notAsked: 59 });
    await close();
  });

  it('forgets what is gone', async () => {
    const { running, states, close } = node(2, HOUR);
    await vi.advanceTimersByTimeAsync(HOUR);
    running.splice(0, 1);
    expect(states()).toEqual({ granted: 1, refused: 0, unverifiable: 0, notAsked: 0 });
    await close();
  });
});

describe('a container that runs and is asked about again', () => {
  it('is reported and enforced when it is refused, as one that was asked about again', async () => {
    const { see, guard, words, enforced } = guardScene({
      reverify: () => refused,
      enforce: () => notEnforced('revokeRunningReport'),
    });
    await see();
    expect(await guard.reverify(webContainer.id)).toBe('refused');
    expect(words()).toEqual(['recordMatched allowed', 'registryRefused revokeRunningReport']);
    expect(enforced).toMatchObject([{ alreadyRuns: true, reverified: true }]);
  });

  it('is no news when it is granted, or in an outage', async () => {
    const { see, guard, words } = guardScene({ reverify: () => down });
    await see();
    expect(await guard.reverify(webContainer.id)).toBe('unverifiable');
    expect(words()).toEqual(['recordMatched allowed']);
    const granted = guardScene();
    await granted.see();
    expect(await granted.guard.reverify(webContainer.id)).toBe('granted');
    expect(granted.words()).toEqual(['recordMatched allowed']);
  });

  it('is not asked about once it was stopped, or is gone', async () => {
    const { see, guard } = guardScene({ reverify: () => refused });
    await see();
    expect(guard.running()).toEqual([{ id: webContainer.id, imageRef: webContainer.imageRef }]);
    expect(await guard.reverify(webContainer.id)).toBe('refused');
    expect(guard.running()).toEqual([]);
    expect(await guard.reverify(webContainer.id)).toBeUndefined();
    guard.containerGone(webContainer.id);
    expect(await guard.reverify(webContainer.id)).toBeUndefined();
  });
});
