import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resetFuse } from '../../../agent/commands/fuse/reset.ts';
import { fuseStatus } from '../../../agent/commands/fuse/status.ts';
import { readFuseReset, readSavedFuse, writeSavedFuse } from '../../../agent/records/saved-fuse.ts';
import { openRecordStore } from '../../../agent/records/sqlite/open.ts';
import { stateDirectory } from '../state.ts';

const NOW = Date.parse('2026-01-02T03:04:05Z');
const WINDOW_MS = 600_000;

let state: ReturnType<typeof stateDirectory>;
let text = '';

const print = (part: string): void => {
  text += part;
};

beforeEach(() => {
  state = stateDirectory();
  text = '';
});
afterEach(() => state.remove());

/** As an agent leaves it whose fuse has just opened. */
function saveOpenFuse(savedAtMs: number): void {
  const { store, savedState } = openRecordStore({ stateDir: state.stateDir });
  const recent = ['team-a', 'team-a', 'team-b'].map((namespace, n) => ({ namespace, key: `${n}`, agoMs: n }));
  writeSavedFuse(savedState, { savedAtMs, snapshot: { isOpen: true, onNode: 12, recent } });
  store.close();
}

function status(now: number): unknown {
  text = '';
  const { stateDir } = state;
  const config = { stateDir, fuseCount: 2, fuseShare: 0, fuseNamespaces: 2, fuseWindow: WINDOW_MS };
  expect(fuseStatus(config, { output: 'json', print, now })).toBe(0);
  return JSON.parse(text);
}

describe('fuse status', () => {
  it('says that it is open, and how much of which namespace it counts', () => {
    saveOpenFuse(NOW);
    expect(status(NOW + 1_000)).toEqual({
      state: 'open',
      savedAt: '2026-01-02T03:04:05.000Z',
      onNode: 12,
      counted: [
        { namespace: 'team-a', containers: 2 },
        { namespace: 'team-b', containers: 1 },
      ],
    });
  });

  it('says that it is closed when the window of what was saved is over', () => {
    saveOpenFuse(NOW);
    expect(status(NOW + WINDOW_MS + 1_000)).toMatchObject({ state: 'closed', counted: [] });
  });

  it('says that no agent has saved one yet', () => {
    expect(status(NOW)).toMatchObject({ state: 'neverSaved' });
  });
});

describe('fuse reset', () => {
  it('leaves a closed fuse for an agent that starts, and asks one that runs for it', () => {
    saveOpenFuse(NOW);
    expect(resetFuse(state, { print, now: NOW })).toBe(0);
    expect(status(NOW)).toMatchObject({ state: 'closed', counted: [] });
    const { store, savedState } = openRecordStore({ stateDir: state.stateDir });
    const first = readFuseReset(savedState);
    expect(first).toMatch(/^[0-9a-f-]{36}$/);
    expect(readSavedFuse(savedState)?.snapshot.isOpen).toBe(false);
    // The agent has its database open all the while.
    resetFuse(state, { print, now: NOW });
    expect(readFuseReset(savedState)).not.toBe(first);
    store.close();
  });
});
