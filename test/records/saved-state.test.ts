import { expect, it } from 'vitest';
import { openSavedState } from '../../agent/records/saved-state.ts';
import { makeRowsInMemory } from './store-in-memory.ts';

it('what a part of the agent remembers is there after a restart, the last of it', () => {
  const rows = makeRowsInMemory();
  const state = openSavedState(rows);
  expect(state.read('fuse')).toBeUndefined();
  state.write('fuse', { openSince: 1 });
  state.write('fuse', { openSince: 2, counted: ['team-a'] });
  state.write('other', 'text');
  expect(openSavedState(rows).read('fuse')).toEqual({ openSince: 2, counted: ['team-a'] });
});
