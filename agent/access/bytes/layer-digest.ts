import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Transform } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';

/** What a layer unpacks to: the sha256 of the tar (OCI image specification, Layer DiffID). */
export type LayerHash = {
  /** Takes the layer's bytes as they come over the wire. */
  write(piece: Uint8Array): Promise<void>;
  /** `sha256:<hex>`; undefined for bytes that do not unpack, or unpack to more than they may. */
  end(): Promise<string | undefined>;
  /** Gives up. */
  destroy(): void;
};

const GZIP = [0x1f, 0x8b];
const ZSTD = [0x28, 0xb5, 0x2f, 0xfd];

/**
 * Unpacks a layer and hashes it while it streams; nothing is kept. How it is packed is seen from its first bytes, as
 * containerd and CRI-O do, whatever its media type says.
 */
export function createLayerHash(maxBytes: number): LayerHash {
  const hash = createHash('sha256');
  let unpack: Transform | undefined;
  let head = Buffer.alloc(0);
  let size = 0;
  let failed = false;
  let ended: Promise<unknown> | undefined;

  function begin(first: Buffer): Transform {
    const made = unpackerFor(first);
    made.on('data', (piece: Buffer) => {
      size += piece.byteLength;
      if (size > maxBytes) made.destroy(new Error('too much'));
      else hash.update(piece);
    });
    // An error also ends `once`; whoever waits for it finds `failed`.
    made.on('error', () => {
      failed = true;
    });
    ended = once(made, 'close').catch(() => undefined);
    unpack = made;
    return made;
  }

  async function push(into: Transform, piece: Uint8Array): Promise<void> {
    if (failed || into.destroyed || into.write(piece)) return;
    await Promise.race([once(into, 'drain').catch(() => undefined), ended]);
  }

  return {
    async write(piece) {
      if (unpack) return push(unpack, piece);
      head = Buffer.concat([head, piece]);
      if (head.length >= ZSTD.length) await push(begin(head), head);
    },
    async end() {
      const stream = unpack ?? begin(head);
      if (head.length < ZSTD.length) await push(stream, head);
      if (!stream.destroyed) stream.end();
      await ended;
      return failed || size > maxBytes ? undefined : `sha256:${hash.digest('hex')}`;
    },
    destroy() {
      unpack?.destroy();
    },
  };
}

function unpackerFor(head: Buffer): Transform {
  if (startsWith(head, GZIP)) return createGunzip();
  if (startsWith(head, ZSTD)) return createZstdDecompress();
  return new Transform({ transform: (piece, _encoding, done) => done(null, piece) });
}

function startsWith(head: Buffer, magic: readonly number[]): boolean {
  return magic.every((byte, at) => head[at] === byte);
}
