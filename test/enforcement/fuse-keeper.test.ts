import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { keepFuse, type SavedFuse } from '../../agent/enforcement/fuse-keeper.ts';

const WINDOW_MS = 600_000;
const settings = { count: 2, share: 0, namespaces: 1, windowMs: WINDOW_MS };

/** One state directory, and the agents that ran on it one after another. */
function stateDirectory(initially?: SavedFuse) {
  const saves: SavedFuse[] = initially ? [initially] : [];
  const resets: string[] = [];
  return {
    saves,
    resets,
    startAgent() {
      const changes: string[] = [];
      const fuse = keepFuse(settings, {
        state: {
          load: () => saves.at(-1),
          save: (saved) => saves.push(structuredClone(saved)),
          lastReset: () => resets.at(-1),
        },
        onOpen: () => changes.push('open'),
        onClose: () => changes.push('closed'),
      });
      const deny = (n: number) =>
        fuse.permits({ namespace: 'team-a', key: `pod-${n}/app`, hasStanding: true }, 10);
      return { fuse, changes, deny };
    },
  };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a fuse that is kept', () => {
  it('is open after a restart if it was before, and closes by itself when its window is over', () => {
    const directory = stateDirectory();
    const before = directory.startAgent();
    expect([0, 1, 2].map(before.deny)).toEqual([true, true, false]);
    before.fuse.close();
    vi.advanceTimersByTime(60_000);
    const after = directory.startAgent();
    expect([after.fuse.isOpen(), after.changes]).toEqual([true, []]);
    // Nobody asks it, and it is noticed all the same.
    vi.advanceTimersByTime(WINDOW_MS - 60_000 + 1_000);
    expect(after.changes).toEqual(['closed']);
    after.fuse.close();
  });

  it('is saved at once when it opens, so that a kill right afterwards does not close it', () => {
    const directory = stateDirectory();
    const killed = directory.startAgent();
    [0, 1, 2].map(killed.deny);
    expect(killed.changes).toEqual(['open']);
    expect(directory.saves.at(-1)?.snapshot.isOpen).toBe(true);
    expect(directory.startAgent().fuse.isOpen()).toBe(true);
  });

  it('is saved once a second while it counts, and at the end', () => {
    const directory = stateDirectory();
    const { deny, fuse } = directory.startAgent();
    for (let n = 0; n < 1_000; n += 1) deny(0);
    expect(directory.saves).toHaveLength(0);
    vi.advanceTimersByTime(1_000);
    expect(directory.saves.map(({ snapshot }) => snapshot.recent.length)).toEqual([1]);
    deny(1);
    fuse.close();
    expect(directory.saves.map(({ snapshot }) => snapshot.recent.length)).toEqual([1, 2]);
  });

  it('begins closed where nothing was saved, and where all that was is over', () => {
    expect(stateDirectory().startAgent().fuse.isOpen()).toBe(false);
    const recent = [0, 1, 2].map((n) => ({ namespace: 'team-a', key: `${n}`, agoMs: 0 }));
    const snapshot = { isOpen: true, onNode: 3, recent };
    const old = stateDirectory({ savedAtMs: Date.now() - WINDOW_MS, snapshot });
    const { fuse, changes } = old.startAgent();
    expect([fuse.isOpen(), changes]).toEqual([false, ['closed']]);
  });

  it('closes within a second when somebody resets it, and has what it spared judged again', () => {
    const directory = stateDirectory();
    const { deny, changes, fuse } = directory.startAgent();
    [0, 1, 2].map(deny);
    directory.resets.push('reset-1');
    vi.advanceTimersByTime(1_000);
    expect([fuse.isOpen(), changes]).toEqual([false, ['open', 'closed']]);
    // What it saved is the reset fuse, and the same reset is no reset again.
    expect(directory.saves.at(-1)?.snapshot).toMatchObject({ isOpen: false, recent: [] });
    expect([3, 4, 5].map(deny)).toEqual([true, true, false]);
    vi.advanceTimersByTime(5_000);
    expect(fuse.isOpen()).toBe(true);
    fuse.close();
  });

  it('forgets what it counted before a reset while it is closed', () => {
    const directory = stateDirectory();
    const { deny, fuse } = directory.startAgent();
    [0, 1].map(deny);
    directory.resets.push('reset-1');
    expect([2, 3].map(deny)).toEqual([true, true]);
    fuse.close();
  });

  it('is noticed to close while containers keep coming that it spares', () => {
    const { deny, changes, fuse } = stateDirectory().startAgent();
    [0, 1, 2].map(deny);
    vi.advanceTimersByTime(WINDOW_MS / 2);
    expect(deny(2)).toBe(false);
    vi.advanceTimersByTime(WINDOW_MS / 2 + 1_000);
    expect(changes).toEqual(['open', 'closed']);
    fuse.close();
  });
});
