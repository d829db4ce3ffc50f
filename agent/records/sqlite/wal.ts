/**
 * A database file and its write-ahead log brought together in memory, as SQLite does it with files (fileformat2.html,
 * "The Write-Ahead Log"). SQLite itself needs to write a -shm beside them, which a full or read-only disk does not
 * allow.
 */

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
const MAGIC = 0x377f0682;
/** What the log says of the size is bounded: 64 MiB in pages of 4 KiB, some three times what a busy node records. */
const MAX_PAGES = 16_384;
const VERSION = 3_007_000;
/** Where a database file says how it is written and read: 2 is with a log, 1 without (fileformat2.html, 1.3). */
const WRITE_VERSION_AT = 18;
const READ_VERSION_AT = 19;

type Checksum = readonly [number, number];

/**
 * The database with all that its log has committed, as a file that needs no log. What was written after the last
 * commit is left out. Undefined where the log cannot be trusted to be whole: to leave out a commit could bring back
 * what was revoked.
 */
export function withLog(database: Buffer, log: Buffer): Buffer | undefined {
  const committed = log.length === 0 ? { pages: new Map<number, Buffer>() } : readLog(log);
  if (committed === undefined) return undefined;
  const pageBytes = pageBytesOf(database);
  if (pageBytes === undefined || (committed.pageBytes ?? pageBytes) !== pageBytes) return undefined;
  // A checkpoint that found the disk full may have left part of a page; then the log has all of it.
  const pageCount = committed.pageCount ?? database.length / pageBytes;
  if (!Number.isInteger(pageCount) || pageCount > MAX_PAGES) return undefined;
  const whole = Buffer.alloc(pageCount * pageBytes);
  database.copy(whole);
  for (const [page, bytes] of committed.pages) {
    // A database that shrank since.
    if (page * pageBytes <= whole.length) bytes.copy(whole, (page - 1) * pageBytes);
  }
  whole[WRITE_VERSION_AT] = 1;
  whole[READ_VERSION_AT] = 1;
  return whole;
}

type Committed = {
  readonly pages: ReadonlyMap<number, Buffer>;
  readonly pageBytes?: number;
  /** Of the database after the last commit; undefined where there was none. */
  readonly pageCount?: number;
};

function readLog(log: Buffer): Committed | undefined {
  if (log.length < HEADER_BYTES) return undefined;
  const magic = log.readUInt32BE(0);
  const bigEndian = magic === MAGIC + 1;
  const pageBytes = log.readUInt32BE(8);
  if ((magic !== MAGIC && !bigEndian) || log.readUInt32BE(4) !== VERSION || !isPageSize(pageBytes)) {
    return undefined;
  }
  let checksum = checksumOf(log.subarray(0, 24), [0, 0], bigEndian);
  if (!isAt(log, 24, checksum)) return undefined;

  const pages = new Map<number, Buffer>();
  const uncommitted = new Map<number, Buffer>();
  let pageCount: number | undefined;
  const frameBytes = FRAME_HEADER_BYTES + pageBytes;
  for (let at = HEADER_BYTES; at + frameBytes <= log.length; at += frameBytes) {
    const header = log.subarray(at, at + 8);
    const page = log.subarray(at + FRAME_HEADER_BYTES, at + frameBytes);
    checksum = checksumOf(page, checksumOf(header, checksum, bigEndian), bigEndian);
    if (!isOfThisLog(log, at) || !isAt(log, at + 16, checksum)) {
      return hasCommitAfter(log, at, frameBytes) ? undefined : committedOf(pages, pageBytes, pageCount);
    }
    const number = header.readUInt32BE(0);
    if (number === 0) return undefined;
    uncommitted.set(number, page);
    const countAfter = header.readUInt32BE(4);
    if (countAfter === 0) continue;
    for (const [committed, bytes] of uncommitted) pages.set(committed, bytes);
    uncommitted.clear();
    pageCount = countAfter;
  }
  return committedOf(pages, pageBytes, pageCount);
}

function committedOf(
  pages: ReadonlyMap<number, Buffer>,
  pageBytes: number,
  pageCount: number | undefined,
): Committed {
  return pageCount === undefined ? { pages, pageBytes } : { pages, pageBytes, pageCount };
}

/**
 * Frames that do not follow from those before are what a write left that was given up, or what an older log left: both
 * mean the end. Only a commit among them, of this log, may be one that a damaged frame hides.
 */
function hasCommitAfter(log: Buffer, from: number, frameBytes: number): boolean {
  for (let at = from; at + frameBytes <= log.length; at += frameBytes) {
    if (isOfThisLog(log, at) && log.readUInt32BE(at + 4) !== 0) return true;
  }
  return false;
}

/** Each round of the log has new salts, which its frames repeat. */
function isOfThisLog(log: Buffer, frame: number): boolean {
  return log.subarray(16, 24).equals(log.subarray(frame + 8, frame + 16));
}

function isAt(log: Buffer, at: number, [first, second]: Checksum): boolean {
  return log.readUInt32BE(at) === first && log.readUInt32BE(at + 4) === second;
}

/** fileformat2.html, 4.2: over pairs of 32-bit words, whose byte order the magic number tells. */
function checksumOf(bytes: Buffer, [first, second]: Checksum, bigEndian: boolean): Checksum {
  let s0 = first;
  let s1 = second;
  for (let at = 0; at + 8 <= bytes.length; at += 8) {
    s0 = (s0 + (bigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at)) + s1) >>> 0;
    s1 = (s1 + (bigEndian ? bytes.readUInt32BE(at + 4) : bytes.readUInt32LE(at + 4)) + s0) >>> 0;
  }
  return [s0, s1];
}

function pageBytesOf(database: Buffer): number | undefined {
  if (database.length < 100) return undefined;
  const written = database.readUInt16BE(16);
  const pageBytes = written === 1 ? 65_536 : written;
  return isPageSize(pageBytes) ? pageBytes : undefined;
}

function isPageSize(bytes: number): boolean {
  return bytes >= 512 && bytes <= 65_536 && (bytes & (bytes - 1)) === 0;
}
