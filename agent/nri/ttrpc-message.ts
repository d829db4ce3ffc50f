import { NriError } from '../errors.ts';

/** Data length and stream id (uint32 big-endian), type and flags (uint8). */
const HEADER_BYTES = 10;
/** Of one message's data (containerd/ttrpc, messageLengthMax). */
export const MAX_DATA_BYTES = 4 * 1024 * 1024;

const EMPTY = new Uint8Array(0);

export const REQUEST = 1;
export const RESPONSE = 2;
export const DATA = 3;

export type TtrpcMessage = {
  readonly streamId: number;
  /** {@link REQUEST}, {@link RESPONSE}, {@link DATA}, or one of a later ttrpc. */
  readonly type: number;
  readonly flags: number;
  /** Valid until the call returns that it was given to; whoever keeps it copies it. */
  readonly data: Uint8Array;
};

/** @throws NriError `messageTooLarge`: more than 4 MiB of data. */
export function encodeMessage(message: TtrpcMessage): Uint8Array {
  const { streamId, type, flags, data } = message;
  if (data.length > MAX_DATA_BYTES) {
    throw new NriError('messageTooLarge', `a message of ${data.length} bytes cannot be sent`);
  }
  const bytes = Buffer.alloc(HEADER_BYTES + data.length);
  bytes.writeUInt32BE(data.length, 0);
  bytes.writeUInt32BE(streamId, 4);
  bytes.writeUInt8(type, 8);
  bytes.writeUInt8(flags, 9);
  bytes.set(data, HEADER_BYTES);
  return bytes;
}

export type MessageReader = {
  /** @throws NriError `messageTooLarge`, and whatever `onMessage` throws. */
  receive(bytes: Uint8Array): void;
  /** The connection ended. @throws NriError `truncated` when it did within a message. */
  end(): void;
};

/**
 * Puts messages together from bytes that arrive in any pieces, and holds at most one of them, so 4 MiB. A
 * message's data is good until `onMessage` returns: the next one may be put together in the same bytes. Not to
 * be used again after an error.
 */
export function createMessageReader(onMessage: (message: TtrpcMessage) => void): MessageReader {
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  let headerBytes = 0;
  let length = 0;
  let partial: Uint8Array = EMPTY;
  let filled = 0;
  /**
   * The bytes of the last message that came in pieces, until the garbage collector takes them. A runtime that
   * tells of 70 MiB does so in 18 messages; each in bytes of its own would be 70 MiB at once.
   */
  let last: WeakRef<Buffer> | undefined;

  function emit(data: Uint8Array): void {
    headerBytes = 0;
    filled = 0;
    partial = EMPTY;
    onMessage({ streamId: view.getUint32(4), type: view.getUint8(8), flags: view.getUint8(9), data });
  }

  function readHeader(): void {
    length = view.getUint32(0);
    if (length > MAX_DATA_BYTES) throw new NriError('messageTooLarge', `a message of ${length} bytes`);
    if (length === 0) emit(EMPTY);
  }

  /**
   * A runtime has 2 s to tell everything that exists, so nothing is copied twice and nothing is filled with
   * zeros.
   */
  function keep(piece: Uint8Array): void {
    if (filled === 0) partial = bufferOf(length);
    partial.set(piece, filled);
    filled += piece.length;
    if (filled === length) emit(partial);
  }

  function bufferOf(bytes: number): Uint8Array {
    const known = last?.deref();
    if (known !== undefined && known.length >= bytes) return known.subarray(0, bytes);
    const made = Buffer.allocUnsafeSlow(bytes);
    last = new WeakRef(made);
    return made;
  }

  return {
    receive(bytes) {
      let at = 0;
      while (at < bytes.length) {
        const isHeader = headerBytes < HEADER_BYTES;
        const wanted = isHeader ? HEADER_BYTES - headerBytes : length - filled;
        const piece = bytes.subarray(at, at + wanted);
        at += piece.length;
        if (isHeader) {
          header.set(piece, headerBytes);
          headerBytes += piece.length;
          if (headerBytes === HEADER_BYTES) readHeader();
        } else if (piece.length === length) emit(piece);
        else keep(piece);
      }
    },
    end() {
      if (headerBytes > 0) throw new NriError('truncated', `the connection ended within a message`);
    },
  };
}
