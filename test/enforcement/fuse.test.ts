import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createFuse, type FuseOptions, type FuseSettings } from '../../agent/enforcement/fuse.ts';

const settings: FuseSettings = { count: 10, share: 0.2, namespaces: 2, windowMs: 600_000 };

function fuseAt(overrides: Partial<FuseSettings> = {}, restored?: FuseOptions['restored']) {
  const clock = { now: 0 };
  const changes: boolean[] = [];
  const fuse = createFuse(
    { ...settings, ...overrides },
    {
      now: () => clock.now,
      onOpen: () => changes.push(true),
      onClose: () => changes.push(false),
      restored,
    },
  );
  const stopMany = (
    howMany: number,
    onNode: number,
    namespaceOf = (n: number) => `team-${n % 4}`,
  ): boolean[] =>
    Array.from({ length: howMany }, (_, n) =>
      fuse.permits({ namespace: namespaceOf(n), key: `pod-${n}/app`, hasStanding: true }, onNode),
    );
  return { clock, changes, fuse, stopMany };
}

describe('the fuse', () => {
  it('permits stops up to the count, whatever their share', () => {
    const { fuse, stopMany, changes } = fuseAt();
    expect(stopMany(10, 10)).toEqual(Array(10).fill(true));
    expect(fuse.isOpen()).toBe(false);
    expect(changes).toEqual([]);
  });

  it('opens at the first stop beyond the count when the share is exceeded as well', () => {
    const { fuse, stopMany, changes } = fuseAt();
    expect(stopMany(12, 40)).toEqual([...Array(10).fill(true), false, false]);
    expect(fuse.isOpen()).toBe(true);
    expect(changes).toEqual([true]);
  });

  it('stays closed on a large node where many stops are still a small share', () => {
    const { fuse, stopMany } = fuseAt();
    expect(stopMany(40, 200)).toEqual(Array(40).fill(true));
    expect(fuse.isOpen()).toBe(false);
  });

  it('cannot be opened by one namespace alone', () => {
    const { fuse, stopMany } = fuseAt();
    expect(stopMany(100, 100, () => 'team-b').every(Boolean)).toBe(true);
    expect(fuse.isOpen()).toBe(false);
  });

  it('counts a container in a crash loop once', () => {
    const { fuse } = fuseAt();
    const permitted = Array.from({ length: 50 }, (_, n) =>
      fuse.permits({ namespace: `team-${n % 2}`, key: `pod-${n % 2}/app`, hasStanding: true }, 5),
    );
    expect(permitted.every(Boolean)).toBe(true);
  });

  it('forgets stops that left the window', () => {
    const { fuse, stopMany, clock } = fuseAt();
    stopMany(10, 10);
    clock.now += settings.windowMs;
    expect(fuse.permits({ namespace: 'team-9', key: 'pod-99/app', hasStanding: true }, 10)).toBe(true);
  });

  it('closes after a window in which nothing would have been stopped', () => {
    const { fuse, stopMany, clock, changes } = fuseAt();
    stopMany(11, 11);
    clock.now += settings.windowMs - 1;
    expect(fuse.isOpen()).toBe(true);
    clock.now += 1;
    expect(fuse.isOpen()).toBe(false);
    expect(changes).toEqual([true, false]);
  });

  it('stays open as long as it would open again', () => {
    const { fuse, stopMany, clock, changes } = fuseAt();
    stopMany(11, 11);
    clock.now += settings.windowMs - 1;
    expect(stopMany(11, 11)).toEqual(Array(11).fill(false));
    clock.now += settings.windowMs - 1;
    expect(fuse.isOpen()).toBe(true);
    expect(changes).toEqual([true]);
  });

  it('is not held open by one container that is denied again and again', () => {
    const { fuse, stopMany, clock } = fuseAt();
    stopMany(11, 11);
    clock.now += settings.windowMs / 2;
    expect(fuse.permits({ namespace: 'team-a', key: 'pod-1/app', hasStanding: true }, 11)).toBe(false);
    clock.now += settings.windowMs / 2;
    expect(fuse.permits({ namespace: 'team-a', key: 'pod-1/app', hasStanding: true }, 11)).toBe(true);
    expect(fuse.isOpen()).toBe(false);
  });

  it('cannot be opened by one namespace with the one denied container of a neighbour', () => {
    const { fuse, stopMany } = fuseAt();
    fuse.permits({ namespace: 'neighbour', key: 'neighbour/app', hasStanding: true }, 50);
    expect(stopMany(100, 50, () => 'attacker').every(Boolean)).toBe(true);
    expect(fuse.isOpen()).toBe(false);
  });

  it('opens when two namespaces each contribute their part', () => {
    const { stopMany } = fuseAt();
    expect(stopMany(12, 40, (n) => `team-${n % 2}`)).toEqual([...Array(10).fill(true), false, false]);
  });

  it('opens when everyone is refused, also where few namespaces have many containers', () => {
    const { fuse, stopMany } = fuseAt();
    const permitted = stopMany(110, 110, (n) => `team-${n % 2}`);
    expect(permitted.filter(Boolean)).toHaveLength(22);
    expect(fuse.isOpen()).toBe(true);
  });

  it('is open just when what the last window holds meets its settings, whatever came in which order', () => {
    const step = fc.record({
      namespace: fc.constantFrom('a', 'b', 'c'),
      pod: fc.nat({ max: 9 }),
      afterMs: fc.nat({ max: 40 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const small: FuseSettings = { count: 4, share: 0.2, namespaces: 2, windowMs: 100 };
        const { fuse, clock } = fuseAt(small);
        const lastAsked = new Map<string, { namespace: string; at: number }>();
        for (const { namespace, pod, afterMs } of steps) {
          clock.now += afterMs;
          const key = `${namespace}-${pod}/app`;
          lastAsked.set(key, { namespace, at: clock.now });
          const inWindow = [...lastAsked.values()].filter(({ at }) => at > clock.now - small.windowMs);
          const perNamespace = ['a', 'b', 'c'].map(
            (name) => inWindow.filter((asked) => asked.namespace === name).length,
          );
          const counted = perNamespace.reduce((sum, size) => sum + Math.min(size, 3), 0);
          const opens =
            counted > small.count &&
            inWindow.length > 0.2 * 30 &&
            perNamespace.filter((size) => size > 0).length >= 2;
          expect(fuse.permits({ namespace, key, hasStanding: true }, 30)).toBe(!opens);
        }
      }),
    );
  });

  describe('and a container without standing', () => {
    const without = (n: number) => ({
      namespace: `ns-${n % 20}`,
      key: `stolen-${n}/app`,
      hasStanding: false,
    });

    it('cannot open it, from however many namespaces', () => {
      const { fuse, changes } = fuseAt();
      const permitted = Array.from({ length: 500 }, (_, n) => fuse.permits(without(n), 20));
      expect(permitted.every(Boolean)).toBe(true);
      expect([fuse.isOpen(), changes]).toEqual([false, []]);
    });

    it('does not run while it is open, and does not keep it open', () => {
      const { fuse, stopMany, clock } = fuseAt();
      stopMany(11, 11);
      expect(fuse.isOpen()).toBe(true);
      clock.now += settings.windowMs - 1;
      expect(fuse.permits(without(1), 11)).toBe(true);
      clock.now += 1;
      expect(fuse.isOpen()).toBe(false);
    });
  });

  describe('after a restart of the agent', () => {
    it('is as open as it was, and closes when it would have', () => {
      const before = fuseAt();
      before.stopMany(11, 11);
      before.clock.now += 100_000;
      const snapshot = JSON.parse(JSON.stringify(before.fuse.snapshot()));
      const after = fuseAt({}, { snapshot, agoMs: 50_000 });
      expect(after.fuse.isOpen()).toBe(true);
      after.clock.now += settings.windowMs - 150_000 - 1;
      expect(after.fuse.isOpen()).toBe(true);
      after.clock.now += 1;
      expect(after.fuse.isOpen()).toBe(false);
      // It did not open anew, and what it let run is judged again.
      expect(after.changes).toEqual([false]);
    });

    it('counts a container once that it counted before', () => {
      const before = fuseAt();
      before.stopMany(10, 10);
      const after = fuseAt({}, { snapshot: before.fuse.snapshot(), agoMs: 1_000 });
      expect(after.stopMany(10, 10)).toEqual(Array(10).fill(true));
      expect(after.fuse.isOpen()).toBe(false);
    });

    it('is held open no longer than a window by a wall clock that was set back', () => {
      const before = fuseAt();
      before.stopMany(11, 11);
      const after = fuseAt({}, { snapshot: before.fuse.snapshot(), agoMs: -86_400_000 });
      expect(after.fuse.isOpen()).toBe(true);
      after.clock.now += settings.windowMs;
      expect(after.fuse.isOpen()).toBe(false);
    });

    it('says when it may change', () => {
      const { fuse, stopMany, clock } = fuseAt();
      expect(fuse.nextChangeInMs()).toBeUndefined();
      stopMany(11, 11);
      clock.now += 1_000;
      expect(fuse.nextChangeInMs()).toBe(settings.windowMs - 1_000);
    });
  });
});
