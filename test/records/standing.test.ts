import { describe, expect, it } from 'vitest';
import { openStanding } from '../../agent/records/standing.ts';
import { makeRowsInMemory } from './store-in-memory.ts';

const hex = 'a'.repeat(64);
const imageRef = `sha256:${hex}`;
const trimmedImage = 'reg.example.com/team-a/app';
const entry = { namespace: 'team-a', imageRef, trimmedImage, since: 1_000, by: 'granted' } as const;

describe('standing', () => {
  it('is of a namespace, a content and a name, however the content is written', () => {
    const standing = openStanding(makeRowsInMemory());
    standing.add(entry);
    expect(standing.has('team-a', imageRef, trimmedImage)).toBe(true);
    expect(standing.has('team-a', hex, trimmedImage)).toBe(true);
    expect(standing.has('team-b', imageRef, trimmedImage)).toBe(false);
    expect(standing.has('team-a', imageRef, 'reg.example.com/team-a/other')).toBe(false);
    expect(standing.has('team-a', `sha256:${'b'.repeat(64)}`, trimmedImage)).toBe(false);
  });

  it('is there after a restart, from its first time on', () => {
    const rows = makeRowsInMemory();
    const standing = openStanding(rows);
    standing.add({ ...entry, by: 'firstRun' });
    standing.add({ ...entry, since: 2_000 });
    const again = openStanding(rows);
    expect(again.has('team-a', imageRef, trimmedImage)).toBe(true);
    expect(again.list()).toMatchObject([{ since: 1_000, by: 'firstRun' }]);
  });

  it('leaves with its image, also from the disk', () => {
    const rows = makeRowsInMemory();
    const standing = openStanding(rows);
    standing.add(entry);
    standing.add({ ...entry, namespace: 'team-b' });
    standing.add({ ...entry, imageRef: `sha256:${'b'.repeat(64)}` });
    expect(standing.prune([hex])).toBe(1);
    for (const each of [standing, openStanding(rows)]) {
      expect(each.list().map(({ namespace }) => namespace)).toEqual(['team-a', 'team-b']);
    }
  });

  it('is revoked by content, of everybody, also from the disk', () => {
    const rows = makeRowsInMemory();
    const standing = openStanding(rows);
    standing.add(entry);
    standing.add({ ...entry, namespace: 'team-b', trimmedImage: 'busybox' });
    standing.add({ ...entry, namespace: 'team-c', imageRef: `sha256:${'b'.repeat(64)}` });
    expect(standing.revoke([hex])).toBe(2);
    for (const each of [standing, openStanding(rows)]) {
      expect(each.list().map(({ namespace }) => namespace)).toEqual(['team-c']);
    }
  });

  it('is forgotten by namespace and by name, and by nothing else', () => {
    const standing = openStanding(makeRowsInMemory());
    standing.add(entry);
    standing.add({ ...entry, namespace: 'team-b' });
    standing.add({ ...entry, namespace: 'team-b', trimmedImage: 'busybox' });
    expect(standing.forget({})).toBe(0);
    expect(standing.forget({ namespace: 'team-b', trimmedImage })).toBe(1);
    expect(standing.forget({ trimmedImage })).toBe(1);
    expect(standing.forget({ namespace: 'team-b' })).toBe(1);
    expect(standing.list()).toEqual([]);
  });
});
