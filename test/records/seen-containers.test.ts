import { expect, it } from 'vitest';
import { openSeenContainers } from '../../agent/records/seen-containers.ts';
import { makeRowsInMemory } from './store-in-memory.ts';

it('containers that were seen are known after a restart, until the runtime no longer has them', () => {
  const rows = makeRowsInMemory();
  const seen = openSeenContainers(rows);
  for (const id of ['a', 'b', 'b', 'x'.repeat(300)]) seen.add(id);
  const again = openSeenContainers(rows);
  expect(['a', 'b', 'c', 'x'.repeat(300)].map((id) => again.has(id))).toEqual([true, true, false, false]);
  again.prune(new Set(['b']));
  for (const each of [again, openSeenContainers(rows)]) {
    expect(['a', 'b'].map((id) => each.has(id))).toEqual([false, true]);
  }
});
