import { describe, expect, it } from 'vitest';
import {
  createItemsReader,
  createLineReader,
  type PieceHandlers,
} from '../../agent/kubernetes/json-pieces.ts';
import { inPieces, recorded } from '../pods/kubernetes/objects.ts';

/** 1 is every cut there is; the others fall elsewhere in every line; the last is all at once. */
const SIZES = [1, 2, 3, 7, 61, 4_096, 1_000_000];

function collector(): PieceHandlers & { pieces: string[]; tooLarge: number } {
  const collected: PieceHandlers & { pieces: string[]; tooLarge: number } = {
    pieces: [],
    tooLarge: 0,
    onPiece: (json) => void collected.pieces.push(json.toString('utf8')),
    onTooLarge: () => {
      collected.tooLarge += 1;
    },
  };
  return collected;
}

describe('the lines of a watch', () => {
  it.each(SIZES)('are the recorded ones in chunks of %i bytes', (size) => {
    const watch = recorded('watch-pods.jsonl');
    const collected = collector();
    const reader = createLineReader(1_000_000, collected);
    for (const chunk of inPieces(watch, size)) reader.push(chunk);
    expect(collected.pieces.map((line) => `${line}\n`).join('')).toBe(watch.toString());
    expect(collected.pieces).toHaveLength(26);
  });

  it.each(SIZES)('may hold characters of several bytes, cut anywhere: chunks of %i bytes', (size) => {
    const line = '{"name":"täglich 🐳 日本"}';
    const collected = collector();
    const reader = createLineReader(100, collected);
    for (const chunk of inPieces(Buffer.from(`${line}\n${line}\n`), size)) reader.push(chunk);
    expect(collected.pieces).toEqual([line, line]);
  });

  it('that are too long are passed over, whatever the chunks, and the next is whole', () => {
    for (const size of SIZES) {
      const collected = collector();
      const reader = createLineReader(10, collected);
      const text = `1234567890\n12345678901\n${'x'.repeat(5_000)}\n\n  \nlast\nbroken off`;
      for (const chunk of inPieces(Buffer.from(text), size)) reader.push(chunk);
      expect(collected.pieces).toEqual(['1234567890', 'last']);
      expect(collected.tooLarge).toBe(2);
    }
  });
});

describe('the items of a list', () => {
  it.each(SIZES)('are the recorded ones in chunks of %i bytes, however indented', (size) => {
    const list = JSON.parse(recorded('list-pods-limit1.json').toString());
    const { items, ...envelope } = list;
    const many = { ...list, items: [items[0], items[0]] };
    for (const text of [JSON.stringify(many), JSON.stringify(many, null, 2), `${JSON.stringify(many)}\n`]) {
      const collected = collector();
      const reader = createItemsReader(1_000_000, collected);
      for (const chunk of inPieces(Buffer.from(text), size)) reader.push(chunk);
      expect(collected.pieces.map((piece) => JSON.parse(piece))).toEqual(many.items);
      expect(JSON.parse(`${reader.envelope()}`)).toEqual({ ...envelope, items: [] });
    }
  });

  it.each([
    ['none', '{"metadata":{"resourceVersion":"1"},"items":[]}', []],
    ['null', '{"items":null,"metadata":{}}', []],
    ['before the metadata', '{"items":[{"a":1},{"b":[{}]}],"metadata":{}}', [{ a: 1 }, { b: [{}] }]],
    ['with brackets in strings', '{"items":[{"a":"]}\\"[{"}],"metadata":{}}', [{ a: ']}"[{' }]],
    ['under a key that is a value', '{"kind":"items","metadata":{},"other":[{"a":1}]}', []],
    ['further within', '{"metadata":{"items":[{"a":1}]},"items":[{"b":2}]}', [{ b: 2 }]],
    ['with other items of items', '{"items":[{"items":[{"a":1}]}]}', [{ items: [{ a: 1 }] }]],
  ])('%s', (_, text, items) => {
    for (const size of SIZES) {
      const collected = collector();
      const reader = createItemsReader(1_000, collected);
      for (const chunk of inPieces(Buffer.from(text), size)) reader.push(chunk);
      expect(collected.pieces.map((piece) => JSON.parse(piece))).toEqual(items);
      const { items: _items, ...envelope } = JSON.parse(text);
      const { items: _empty, ...read } = JSON.parse(`${reader.envelope()}`);
      if (envelope.other === undefined) expect(read).toEqual(envelope);
    }
  });

  it('that are too large are passed over, the next is whole', () => {
    for (const size of SIZES) {
      const collected = collector();
      const reader = createItemsReader(20, collected);
      const text = `{"items":[{"a":1},{"b":"${'x'.repeat(100)}"},{"c":3}],"metadata":{}}`;
      for (const chunk of inPieces(Buffer.from(text), size)) reader.push(chunk);
      expect(collected.pieces).toEqual(['{"a":1}', '{"c":3}']);
      expect(collected.tooLarge).toBe(1);
      expect(`${reader.envelope()}`).toBe('{"items":[],"metadata":{}}');
    }
  });

  it.each(['{"items":[{"a":1},', '{"items":[{"a":"', '{"metadata":{"resource', ''])(
    'that break off leave no list: %s',
    (text) => {
      const reader = createItemsReader(1_000, collector());
      reader.push(Buffer.from(text));
      expect(`${reader.envelope() ?? ''}`).toBe('');
    },
  );
});
