import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createMux } from '../../agent/nri/mux.ts';
import { failureOf } from './fake-runtime.ts';

const MAX_FRAME = 4 * 1024 * 1024 + 10;

function header(id: number, length: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32BE(id, 0);
  bytes.writeUInt32BE(length, 4);
  return bytes;
}

function frame(id: number, text: string): Buffer {
  return Buffer.concat([header(id, text.length), Buffer.from(text)]);
}

/** A mux with connections 1 and 2 that keeps what they received. */
function receiver() {
  const received: Record<number, Buffer> = { 1: Buffer.alloc(0), 2: Buffer.alloc(0) };
  const sink = (id: number) => (bytes: Uint8Array) => {
    received[id] = Buffer.concat([received[id] ?? Buffer.alloc(0), bytes]);
  };
  const mux = createMux({
    write() {},
    connections: new Map([
      [1, sink(1)],
      [2, sink(2)],
    ]),
  });
  return { mux, text: (id: number) => received[id]?.toString() };
}

describe('the multiplexer', () => {
  it('writes connection id and length before the payload, big-endian', () => {
    const written: Uint8Array[] = [];
    const mux = createMux({ write: (bytes) => written.push(bytes), connections: new Map() });
    mux.send(0x01020304, Buffer.from('abc'));
    expect(Buffer.concat(written).toString('hex')).toBe('0102030400000003616263');
  });

  it('cuts what it writes into frames that the reader on the other side has room for', () => {
    const written: Uint8Array[] = [];
    const mux = createMux({ write: (bytes) => written.push(bytes), connections: new Map() });
    mux.send(1, Buffer.alloc(10_000));
    expect(written.map(({ length }) => length - 8)).toEqual([4096, 4096, 1808]);
  });

  it('gives every connection its own bytes, wherever the stream is split', () => {
    const bytes = Buffer.concat([frame(1, 'one'), frame(2, 'two'), frame(1, ''), frame(1, ' more')]);
    for (let at = 0; at <= bytes.length; at += 1) {
      const { mux, text } = receiver();
      mux.receive(bytes.subarray(0, at));
      mux.receive(bytes.subarray(at));
      expect([text(1), text(2)]).toEqual(['one more', 'two']);
      expect(failureOf(() => mux.end())).toBeUndefined();
    }
  });

  it('gives back whatever was sent, in whatever pieces it arrives', () => {
    const sent = fc.array(fc.tuple(fc.constantFrom(1, 2), fc.uint8Array({ maxLength: 60 })), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(
        sent,
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 30 }),
        (all, limit, piece) => {
          const written: Uint8Array[] = [];
          const write = (bytes: Uint8Array) => written.push(bytes);
          const sender = createMux({ write, connections: new Map(), writeFrameBytes: limit });
          for (const [id, bytes] of all) sender.send(id, bytes);
          const { mux, text } = receiver();
          const stream = Buffer.concat(written);
          for (let at = 0; at < stream.length; at += piece) mux.receive(stream.subarray(at, at + piece));
          for (const id of [1, 2]) {
            const expected = Buffer.concat(all.filter(([to]) => to === id).map(([, bytes]) => bytes));
            expect(text(id)).toBe(expected.toString());
          }
          mux.end();
        },
      ),
    );
  });

  it('ends at a connection that nobody opened', () => {
    const { mux } = receiver();
    expect(failureOf(() => mux.receive(frame(3, 'x')))).toBe('unknownConnection');
    expect(failureOf(() => createMux({ write() {}, connections: new Map() }).receive(frame(0, '')))).toBe(
      'unknownConnection',
    );
  });

  it('takes a frame of 4 MiB and 10 bytes and ends at one byte more, by the header alone', () => {
    const { mux } = receiver();
    expect(failureOf(() => mux.receive(header(1, MAX_FRAME)))).toBeUndefined();
    const { mux: other } = receiver();
    expect(failureOf(() => other.receive(header(1, MAX_FRAME + 1)))).toBe('frameTooLarge');
    const { mux: third } = receiver();
    expect(failureOf(() => third.receive(header(1, 0xffffffff)))).toBe('frameTooLarge');
  });

  it('takes nothing in after an error, because where a frame begins is not known any more', () => {
    const { mux, text } = receiver();
    expect(failureOf(() => mux.receive(frame(9, 'x')))).toBe('unknownConnection');
    mux.receive(frame(1, 'late'));
    expect(text(1)).toBe('');
  });

  it('says when the end comes within a header or a payload', () => {
    const bytes = frame(1, 'text');
    for (let at = 1; at < bytes.length; at += 1) {
      const { mux } = receiver();
      mux.receive(bytes.subarray(0, at));
      expect(failureOf(() => mux.end())).toBe('truncated');
    }
  });

  it('keeps nothing of a payload, so that endless frames cost no memory', () => {
    let delivered = 0;
    const count = (bytes: Uint8Array) => {
      delivered += bytes.length;
    };
    const mux = createMux({ write() {}, connections: new Map([[1, count]]) });
    const piece = Buffer.alloc(64 * 1024);
    const frames = 64;
    for (let sent = 0; sent < frames; sent += 1) {
      mux.receive(header(1, 4 * 1024 * 1024));
      for (let part = 0; part < 64; part += 1) {
        mux.receive(piece);
        expect(delivered).toBe((sent * 64 + part + 1) * piece.length);
      }
    }
  });
});
