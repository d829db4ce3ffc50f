import { describe, expect, it } from 'vitest';
import { openShownPieces } from '../../agent/records/shown-pieces.ts';
import { makeRowsInMemory } from './store-in-memory.ts';

function pieceOf(n: number): string {
  return `sha256:${n.toString(16).padStart(64, '0')}`;
}

describe('where pieces of images are from', () => {
  it('is told for each host, with what it has shown', () => {
    const pieces = openShownPieces(makeRowsInMemory());
    pieces.add('a.example', [pieceOf(1), pieceOf(2)], { firstSeenAt: 1, holding: 'shown' });
    pieces.add('b.example', [pieceOf(2)], { firstSeenAt: 2, holding: 'named' });
    expect(pieces.holding('a.example', pieceOf(1))).toBe('shown');
    expect(pieces.holding('b.example', pieceOf(1))).not.toBe('shown');
    expect(pieces.holding('b.example', pieceOf(2))).not.toBe('shown');
    expect(pieces.sightings(pieceOf(2))).toEqual([
      { host: 'a.example', firstSeenAt: 1, holding: 'shown' },
      { host: 'b.example', firstSeenAt: 2, holding: 'named' },
    ]);
    expect([pieces.isKnown(pieceOf(2)), pieces.isKnown(pieceOf(3))]).toEqual([true, false]);
  });

  it('keeps the first time, and the most that a host has done; also over a restart', () => {
    const rows = makeRowsInMemory();
    const pieces = openShownPieces(rows);
    pieces.add('a.example', [pieceOf(1)], { firstSeenAt: 1, holding: 'named' });
    pieces.add('a.example', [pieceOf(1)], { firstSeenAt: 4, holding: 'brought' });
    pieces.add('a.example', [pieceOf(1)], { firstSeenAt: 5, holding: 'shown' });
    pieces.add('a.example', [pieceOf(1)], { firstSeenAt: 7, holding: 'brought' });
    pieces.add('a.example', [pieceOf(1)], { firstSeenAt: 9, holding: 'named' });
    const shown = [{ host: 'a.example', firstSeenAt: 1, holding: 'shown' }];
    for (const each of [pieces, openShownPieces(rows)]) expect(each.sightings(pieceOf(1))).toEqual(shown);
  });

  it('forgets pieces that left the node, and takes their places for others', () => {
    const rows = makeRowsInMemory();
    const pieces = openShownPieces(rows);
    const all = Array.from({ length: 5_000 }, (_, n) => pieceOf(n));
    pieces.add('a.example', all, { firstSeenAt: 1, holding: 'shown' });
    pieces.add('b.example', all, { firstSeenAt: 1, holding: 'shown' });
    expect(pieces.keepOnly([pieceOf(7)])).toBe(4_999);
    pieces.add('c.example', [pieceOf(8)], { firstSeenAt: 2, holding: 'named' });
    for (const each of [pieces, openShownPieces(rows)]) {
      expect(each.size).toBe(2);
      expect(each.holding('b.example', pieceOf(7))).toBe('shown');
      expect(each.sightings(pieceOf(8))).toEqual([{ host: 'c.example', firstSeenAt: 2, holding: 'named' }]);
    }
  });

  it('takes a piece that is no digest as it is', () => {
    const pieces = openShownPieces(makeRowsInMemory());
    pieces.add('a.example', ['sha512:abc'], { firstSeenAt: 1, holding: 'shown' });
    expect(pieces.holding('a.example', 'sha512:abc')).toBe('shown');
    expect(pieces.keepOnly([])).toBe(1);
  });
});
