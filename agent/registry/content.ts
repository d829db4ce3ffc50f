import { createHash, type Hash } from 'node:crypto';
import { Outage } from './outage.ts';
import type { WireAnswer } from './transport.ts';

const DIGEST = /^(sha256|sha384|sha512):([a-f0-9]+)$/;
const LENGTHS: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };

export function isDigest(text: string): boolean {
  const [, algorithm = '', hex = ''] = DIGEST.exec(text) ?? [];
  return hex !== '' && hex.length === LENGTHS[algorithm];
}

/** Takes a body as it comes. Slow ones hold the stream up; what it throws ends the question. */
export type Sink = (piece: Uint8Array) => void | Promise<void>;

/**
 * Streams a body into a sink and says what arrived. No header is believed, neither about length nor digest.
 *
 * @param digest of the right content; undefined for whatever comes, which gets its sha256 then
 * @throws Outage `digestMismatch` after all went into the sink, `tooLarge` before what is too much does
 * @throws whatever the sink throws
 */
export async function receive(
  content: WireAnswer,
  digest: string | undefined,
  maxBytes: number,
  sink: Sink,
): Promise<{ readonly digest: string; readonly size: number }> {
  const algorithm = digest?.split(':', 1)[0] ?? 'sha256';
  const hash: Hash = createHash(algorithm);
  let size = 0;
  if (Number(content.header('content-length')) > maxBytes) {
    content.discard();
    throw new Outage('tooLarge', content.url.host);
  }
  for await (const piece of content.pieces()) {
    size += piece.byteLength;
    if (size > maxBytes) throw new Outage('tooLarge', content.url.host);
    hash.update(piece);
    await sink(piece);
  }
  const actual = `${algorithm}:${hash.digest('hex')}`;
  if (digest !== undefined && actual !== digest) throw new Outage('digestMismatch', content.url.host);
  return { digest: actual, size };
}
