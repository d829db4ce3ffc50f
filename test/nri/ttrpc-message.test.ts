import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createMessageReader,
  encodeMessage,
  MAX_DATA_BYTES,
  REQUEST,
  RESPONSE,
  type TtrpcMessage,
} from '../../agent/nri/ttrpc-message.ts';
import { failureOf } from './fake-runtime.ts';

function reader() {
  const messages: TtrpcMessage[] = [];
  const { receive, end } = createMessageReader((message) => {
    messages.push({ ...message, data: Buffer.from(message.data) });
  });
  return { receive, end, messages };
}

function headerOf(length: number): Buffer {
  const bytes = Buffer.alloc(10);
  bytes.writeUInt32BE(length, 0);
  bytes.writeUInt32BE(1, 4);
  bytes[8] = REQUEST;
  return bytes;
}

const ping = { streamId: 0x0a0b0c0d, type: RESPONSE, flags: 4, data: Buffer.from('ping') };
const empty = { streamId: 3, type: REQUEST, flags: 0, data: Buffer.alloc(0) };

describe('ttrpc messages', () => {
  it('have a header of length, stream id, type and flags', () => {
    expect(Buffer.from(encodeMessage(ping)).toString('hex')).toBe('000000040a0b0c0d020470696e67');
  });

  it('are put together wherever they are split', () => {
    const bytes = Buffer.concat([encodeMessage(ping), encodeMessage(empty), encodeMessage(ping)]);
    for (let at = 0; at <= bytes.length; at += 1) {
      const { receive, end, messages } = reader();
      receive(bytes.subarray(0, at));
      receive(bytes.subarray(at));
      expect(messages).toEqual([ping, empty, ping]);
      end();
    }
  });

  it('come back as they were sent, in any pieces', () => {
    const message = fc.record({
      streamId: fc.nat(),
      type: fc.integer({ min: 0, max: 255 }),
      flags: fc.integer({ min: 0, max: 255 }),
      data: fc.uint8Array({ maxLength: 9_000 }).map((data) => Buffer.from(data)),
    });
    fc.assert(
      fc.property(fc.array(message, { maxLength: 4 }), fc.integer({ min: 1, max: 5_000 }), (sent, piece) => {
        const { receive, end, messages } = reader();
        const bytes = Buffer.concat(sent.map(encodeMessage));
        for (let at = 0; at < bytes.length; at += piece) receive(bytes.subarray(at, at + piece));
        expect(messages).toEqual(sent);
        end();
      }),
    );
  });

  it('hold 4 MiB and not a byte more, on the way in by the header alone', () => {
    const { receive, messages } = reader();
    const largest = encodeMessage({ ...ping, data: Buffer.alloc(MAX_DATA_BYTES, 7) });
    receive(largest.subarray(0, 100));
    receive(largest.subarray(100));
    expect(messages[0]?.data.length).toBe(MAX_DATA_BYTES);
    expect(failureOf(() => reader().receive(headerOf(MAX_DATA_BYTES + 1)))).toBe('messageTooLarge');
    expect(failureOf(() => encodeMessage({ ...ping, data: Buffer.alloc(MAX_DATA_BYTES + 1) }))).toBe(
      'messageTooLarge',
    );
  });

  it('take no memory for a header, and that of one message for its data', () => {
    const before = process.memoryUsage().arrayBuffers;
    const readers = Array.from({ length: 100 }, () => reader());
    for (const { receive } of readers) receive(headerOf(MAX_DATA_BYTES));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1024 * 1024);
    readers[0]?.receive(Buffer.alloc(MAX_DATA_BYTES - 1));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2.5 * MAX_DATA_BYTES);
    expect(readers.every(({ messages }) => messages.length === 0)).toBe(true);
  });

  it('take the memory of one, however many come one after the other', () => {
    const memory = new Set<ArrayBufferLike>();
    const { receive } = createMessageReader(({ data }) => memory.add(data.buffer));
    const bytes = Buffer.concat([headerOf(MAX_DATA_BYTES), Buffer.alloc(MAX_DATA_BYTES)]);
    for (let messages = 0; messages < 18; messages += 1) {
      receive(bytes.subarray(0, 100_000));
      receive(bytes.subarray(100_000));
    }
    expect(memory.size).toBe(1);
  });

  it('are put together from single bytes at the cost of the message, not of every byte', () => {
    const { receive, messages } = reader();
    const bytes = encodeMessage({ ...ping, data: Buffer.alloc(200_000, 1) });
    for (let at = 0; at < bytes.length; at += 1) receive(bytes.subarray(at, at + 1));
    expect(messages[0]?.data).toEqual(Buffer.alloc(200_000, 1));
  });

  it('say when the end comes within one', () => {
    const bytes = encodeMessage(ping);
    for (let at = 1; at < bytes.length; at += 1) {
      const { receive, end } = reader();
      receive(bytes.subarray(0, at));
      expect(failureOf(end)).toBe('truncated');
    }
  });
});
