/** Numbers that come again with the same seed (xorshift32). */
export interface Random {
  /** An integer from 0 to `limit` - 1. */
  below(limit: number): number;
}

export function seededRandom(seed: number): Random {
  // Zero is the one state that xorshift never leaves.
  let state = seed | 0 || 0x9e3779b9;
  return {
    below(limit) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) % limit;
    },
  };
}

const edges = [0, 1, 8, 10, 0x7f, 0x80, 0xff, 4096, 0x400000, 0x40000a, 0x40000b, 0x7fffffff, 0xffffffff];

function randomBytes(random: Random, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let at = 0; at < length; at += 1) bytes[at] = random.below(256);
  return bytes;
}

/** One change: a bit, a length, a cut, a piece twice, a piece of `other` or of nothing known in between. */
function mutateOnce(random: Random, bytes: Buffer, other: Buffer): Buffer {
  const at = random.below(bytes.length + 1);
  const edge = edges[random.below(edges.length)] ?? 0;
  switch (random.below(7)) {
    case 0:
      if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
      return bytes;
    case 1:
      if (at < bytes.length) bytes[at] = edge & 0xff;
      return bytes;
    case 2: {
      // Where the headers of frame and message are.
      const place = random.below(2) === 0 ? random.below(16) : at;
      if (place + 4 <= bytes.length) bytes.writeUInt32BE(edge, place);
      return bytes;
    }
    case 3:
      return bytes.subarray(0, at);
    case 4: {
      const piece = bytes.subarray(at, at + random.below(32));
      return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]);
    }
    case 5: {
      const from = random.below(other.length + 1);
      return Buffer.concat([bytes.subarray(0, at), other.subarray(from, from + random.below(64))]);
    }
    default:
      return Buffer.concat([
        bytes.subarray(0, at),
        randomBytes(random, random.below(16)),
        bytes.subarray(at),
      ]);
  }
}

/**
 * Bytes that nobody sends: a quarter of the time plain noise, else one of `samples` with one to four
 * changes.
 */
export function hostileBytes(random: Random, samples: readonly Buffer[]): Buffer {
  const sample = samples[random.below(samples.length)];
  const other = samples[random.below(samples.length)];
  if (sample === undefined || other === undefined || random.below(4) === 0) {
    return randomBytes(random, random.below(96));
  }
  let bytes: Buffer = Buffer.from(sample);
  for (let changes = 1 + random.below(4); changes > 0; changes -= 1) bytes = mutateOnce(random, bytes, other);
  return bytes;
}

/** The same bytes in one to four pieces, short ones now and then in single bytes. */
export function inPieces(random: Random, bytes: Buffer): Buffer[] {
  if (bytes.length <= 64 && random.below(8) === 0)
    return Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
  const pieces: Buffer[] = [];
  let from = 0;
  for (let cuts = random.below(4); cuts > 0; cuts -= 1) {
    const to = from + random.below(bytes.length - from + 1);
    pieces.push(bytes.subarray(from, to));
    from = to;
  }
  pieces.push(bytes.subarray(from));
  return pieces;
}
