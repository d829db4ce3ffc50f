import { once } from 'node:events';
import { Transform, type TransformCallback } from 'node:stream';
import { createZstdDecompress, type ZstdDecompress } from 'node:zlib';

/**
 * Unpacks zstd of any number of frames. Node stops after the first one, without a word; a layer as
 * zstd:chunked has one for every file, and skippable ones with its table of contents. So frames are told
 * apart here, by their headers (RFC 8878, section 3.1), and each is unpacked by itself.
 */
export function createZstdFrames(): Transform {
  return new ZstdFrames();
}

const MAGIC = 0xfd2fb528;
const SKIPPABLE = 0x184d2a5;

/**
 * What follows in the stream: a header of so many bytes, then so many bytes that are passed on or skipped.
 */
type Part = { readonly header: number; readonly content: number; readonly next: 'frame' | 'block' };

class ZstdFrames extends Transform {
  #frame: ZstdDecompress | undefined;
  #hasChecksum = false;
  #expected: Part['next'] = 'frame';
  #head: Buffer = Buffer.alloc(0);
  #content = 0;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#take(chunk).then(
      () => done(),
      (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
    );
  }

  override _flush(done: TransformCallback): void {
    const isWhole = this.#frame === undefined && this.#content === 0 && this.#head.length === 0;
    done(isWhole ? null : new Error('zstd ends within a frame'));
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#frame?.destroy();
    done(error);
  }

  async #take(chunk: Buffer): Promise<void> {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#content > 0) {
        const content = rest.subarray(0, this.#content);
        rest = rest.subarray(content.length);
        this.#content -= content.length;
        await this.#pass(content);
      } else {
        rest = await this.#takeHeader(rest);
      }
      if (this.#content === 0 && this.#expected === 'frame' && this.#head.length === 0)
        await this.#endFrame();
    }
  }

  /** Gives back what comes after the header. */
  async #takeHeader(bytes: Buffer): Promise<Buffer> {
    const head = Buffer.concat([this.#head, bytes]);
    const part = this.#expected === 'frame' ? this.#readFrame(head) : this.#readBlock(head);
    if (part === undefined || head.length < part.header) {
      this.#head = head;
      return Buffer.alloc(0);
    }
    this.#head = Buffer.alloc(0);
    this.#content = part.content;
    this.#expected = part.next;
    await this.#pass(head.subarray(0, part.header));
    return head.subarray(part.header);
  }

  #readFrame(head: Buffer): Part | undefined {
    if (head.length < 5) return undefined;
    const magic = head.readUInt32LE(0);
    if (magic >>> 4 === SKIPPABLE) {
      return head.length < 8 ? undefined : { header: 8, content: head.readUInt32LE(4), next: 'frame' };
    }
    if (magic !== MAGIC) throw new Error('no zstd frame');
    this.#frame ??= this.#openFrame();
    const descriptor = head.readUInt8(4);
    const isSingleSegment = (descriptor & 0b10_0000) !== 0;
    this.#hasChecksum = (descriptor & 0b100) !== 0;
    const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >>> 6] ?? 0;
    const dictionaryBytes = [0, 1, 2, 4][descriptor & 0b11] ?? 0;
    return { header: 5 + (isSingleSegment ? 0 : 1) + dictionaryBytes + sizeBytes, content: 0, next: 'block' };
  }

  #readBlock(head: Buffer): Part | undefined {
    if (head.length < 3) return undefined;
    const block = head.readUIntLE(0, 3);
    const isLast = (block & 1) === 1;
    // A block of one repeated byte holds that byte.
    const size = ((block >>> 1) & 0b11) === 1 ? 1 : block >>> 3;
    const checksum = isLast && this.#hasChecksum ? 4 : 0;
    return { header: 3, content: size + checksum, next: isLast ? 'frame' : 'block' };
  }

  #openFrame(): ZstdDecompress {
    const frame = createZstdDecompress();
    frame.on('data', (piece: Buffer) => this.push(piece));
    frame.on('error', (error) => this.destroy(error));
    return frame;
  }

  async #pass(bytes: Buffer): Promise<void> {
    const frame = this.#frame;
    if (frame === undefined || frame.destroyed) return;
    if (!frame.write(bytes))
      await Promise.race([once(frame, 'drain'), once(frame, 'close')]).catch(() => undefined);
  }

  async #endFrame(): Promise<void> {
    const frame = this.#frame;
    this.#frame = undefined;
    if (frame === undefined || frame.destroyed) return;
    const ended = once(frame, 'close');
    frame.end();
    await ended;
  }
}
