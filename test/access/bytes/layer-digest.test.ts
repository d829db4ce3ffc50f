import { createHash, randomBytes } from 'node:crypto';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { createLayerHash } from '../../../agent/access/bytes/layer-digest.ts';

const TAR = Buffer.concat([randomBytes(300_000), Buffer.alloc(2_000_000)]);
const MiB = 2 ** 20;

async function hashOf(packed: Uint8Array, { step = 65_536, maxBytes = 16 * MiB } = {}): Promise<string> {
  const hash = createLayerHash(maxBytes);
  try {
    for (let at = 0; at < packed.byteLength; at += step) await hash.write(packed.subarray(at, at + step));
    return await hash.end();
  } finally {
    hash.destroy();
  }
}

function diffId(tar: Uint8Array): string {
  return `sha256:${createHash('sha256').update(tar).digest('hex')}`;
}

describe('what a layer unpacks to', () => {
  const skippable = Buffer.concat([Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0]), Buffer.from('toc!')]);
  const [half, rest] = [TAR.subarray(0, 100_000), TAR.subarray(100_000)];
  it.each([
    ['plain', TAR],
    ['gzip', gzipSync(TAR)],
    ['gzip of several members, as pigz and stargz write it', Buffer.concat([gzipSync(half), gzipSync(rest)])],
    ['zstd', zstdCompressSync(TAR)],
    [
      'zstd of several frames and a skippable one, as zstd:chunked is',
      Buffer.concat([zstdCompressSync(half), zstdCompressSync(rest), skippable]),
    ],
  ])('%s', async (_name, packed) => {
    expect(await hashOf(packed)).toBe(diffId(TAR));
  });

  it('does not depend on how the bytes come, to the single byte', async () => {
    const packed = gzipSync(TAR.subarray(0, 5_000));
    expect(await hashOf(packed, { step: 1 })).toBe(diffId(TAR.subarray(0, 5_000)));
  });

  it('of nothing, and of less than tells how it is packed', async () => {
    expect(await hashOf(Buffer.alloc(0))).toBe(diffId(Buffer.alloc(0)));
    expect(await hashOf(Buffer.from('ab'))).toBe(diffId(Buffer.from('ab')));
  });

  it.each([
    ['cut short', gzipSync(TAR).subarray(0, 200_000)],
    ['damaged', Buffer.concat([gzipSync(TAR).subarray(0, 100_000), randomBytes(1_000)])],
    ['zstd cut short', zstdCompressSync(TAR).subarray(0, 200_000)],
  ])('is nothing where it is %s', async (_name, packed) => {
    await expect(hashOf(packed)).rejects.toMatchObject({ reason: 'malformed' });
  });

  it('is not followed beyond its bound: a bomb ends as soon as it grows too large', async () => {
    await expect(hashOf(gzipSync(Buffer.alloc(64 * MiB)), { maxBytes: MiB })).rejects.toMatchObject({
      reason: 'tooLarge',
    });
  });
});
