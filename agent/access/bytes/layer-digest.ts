import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Transform } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { createZstdFrames } from './zstd-frames.ts';

/** What a layer unpacks to: the sha256 of the tar (OCI image specification, Layer DiffID). */
export type LayerHash = {
  /** Takes the layer's bytes as they come over the wire. @throws UnpackFailure as soon as they prove wrong */
  write(piece: Uint8Array): Promise<void>;
  /** `sha256:<hex>`. @throws UnpackFailure */
  end(): Promise<string>;
  /** Gives up; may be called at any time. */
  destroy(): void;
};

/** `malformed`: the bytes do not unpack. `tooLarge`: they unpack to more than they may. */
export class UnpackFailure extends Error {
  override readonly name = 'UnpackFailure';
  readonly reason: 'malformed' | 'tooLarge';

  constructor(reason: UnpackFailure['reason']) {
    super(reason === 'malformed' ? 'the layer cannot be unpacked' : 'the layer unpacks to too much');
    this.reason = reason;
  }
}

/** By their first bytes, four of which tell all kinds apart. */
const GZIP = [0x1f, 0x8b];
const ZSTD = [0x28, 0xb5, 0x2f, 0xfd];
const HEAD_BYTES = 4;

/**
 * Unpacks a layer and hashes it while it streams; nothing is kept. How it is packed is seen from its first
 * bytes, as containerd and CRI-O do, whatever its media type says.
 *
 * @param maxBytes that it may unpack to
 */
export function createLayerHash(maxBytes: number): LayerHash {
  const hash = createHash('sha256');
  let head: Buffer = Buffer.alloc(0);
  let unpack: Transform | undefined;
  let ended: Promise<unknown> | undefined;
  let size = 0;
  let failure: UnpackFailure | undefined;

  function begin(): Transform {
    const made = unpackerFor(head);
    made.on('data', (piece: Buffer) => {
      size += piece.byteLength;
      if (size > maxBytes) made.destroy(new UnpackFailure('tooLarge'));
      else hash.update(piece);
    });
    made.on('error', (error) => {
      failure ??= error instanceof UnpackFailure ? error : new UnpackFailure('malformed');
    });
    ended = once(made, 'close').catch(() => undefined);
    unpack = made;
    return made;
  }

  async function push(into: Transform, piece: Uint8Array): Promise<void> {
    if (failure) throw failure;
    if (!into.write(piece)) await Promise.race([once(into, 'drain').catch(() => undefined), ended]);
    if (failure) throw failure;
  }

  return {
    async write(piece) {
      if (unpack) return push(unpack, piece);
      head = Buffer.concat([head, piece]);
      if (head.length >= HEAD_BYTES) await push(begin(), head);
    },
    async end() {
      if (unpack === undefined) await push(begin(), head);
      unpack?.end();
      await ended;
      if (failure) throw failure;
      return `sha256:${hash.digest('hex')}`;
    },
    destroy() {
      unpack?.destroy();
    },
  };
}

function unpackerFor(head: Buffer): Transform {
  if (startsWith(head, GZIP)) return createGunzip();
  if (startsWith(head, ZSTD)) return createZstdFrames();
  return new Transform({ transform: (piece, _encoding, done) => done(null, piece) });
}

function startsWith(head: Buffer, magic: readonly number[]): boolean {
  return magic.every((byte, at) => head[at] === byte);
}
