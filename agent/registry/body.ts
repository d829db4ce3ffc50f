import { hasAtMostValues } from '../json-values.ts';
import { Outage } from './outage.ts';
import type { WireAnswer } from './transport.ts';

/**
 * The whole body.
 *
 * @throws Outage `tooLarge` above `maxBytes`, or whatever broke
 */
export async function readBody(answer: WireAnswer, maxBytes: number): Promise<Buffer> {
  const announced = Number(answer.header('content-length'));
  const pieces: Uint8Array[] = [];
  let size = 0;
  if (announced > maxBytes) {
    answer.discard();
    throw new Outage('tooLarge', answer.url.host);
  }
  // Leaving the loop early gives the connection up.
  for await (const piece of answer.pieces()) {
    size += piece.byteLength;
    if (size > maxBytes) throw new Outage('tooLarge', answer.url.host);
    pieces.push(piece);
  }
  return Buffer.concat(pieces, size);
}

/** The beginning of a body, however it ends: for answers whose status says most of it. */
export async function readUpTo(answer: WireAnswer, maxBytes: number): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const piece of answer.pieces()) {
      pieces.push(piece.subarray(0, maxBytes - size));
      size += piece.byteLength;
      if (size >= maxBytes) break;
    }
  } catch (error) {
    if (!(error instanceof Outage)) throw error;
  }
  return Buffer.concat(pieces);
}

/**
 * What costs time is the number of values, not of bytes: half a megabyte of `[[[[` holds the thread up for a
 * tenth of a second. A manifest with 500 layers has some 3,000 of these.
 */
const MAX_VALUES = 10_000;

/** Undefined for what is no JSON, or JSON with more values than anybody has reason to send. */
export function parseJson(bytes: Buffer): unknown {
  if (!hasAtMostValues(bytes, MAX_VALUES)) return undefined;
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
