import { closeSync, copyFileSync, mkdtempSync, openSync, readSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import SqliteDatabase, { type Database } from 'better-sqlite3';

/** More than any node's records take (a thousand images with a hundred secrets each: some 20 MiB). */
const MAX_BYTES = 64 * 1_048_576;
/** Of the write-ahead log (fileformat2.html, "The Write-Ahead Log"). */
const LOG_HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;

/**
 * A database whose folder cannot be written, with what its log holds, as a database in memory; the files are
 * not touched. SQLite needs to write beside a database to read its log, so it does so beside a copy in a
 * folder in memory, which is gone afterwards.
 *
 * Undefined where there is no database, or none that is whole beyond doubt.
 */
export function copyInMemory(path: string): Database | undefined {
  for (const scratch of ['/dev/shm', tmpdir()]) {
    const folder = makeFolder(scratch);
    if (folder === undefined) continue;
    try {
      return copyThrough(path, join(folder, 'copy.db'));
    } catch {
      // Whatever keeps it from being read: without records everything is verified.
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  return undefined;
}

/** Throws what SQLite or the file system says. */
function copyThrough(path: string, copy: string): Database | undefined {
  const before = sizes(path);
  // A rollback journal is none of ours.
  if (before.database === 0 || before.journal > 0 || before.database + before.log > MAX_BYTES)
    return undefined;
  copyFileSync(path, copy);
  if (before.log > 0) copyFileSync(`${path}-wal`, `${copy}-wal`);
  const after = sizes(path);
  // Another process that put its log into the database meanwhile makes of the two what never was.
  if (JSON.stringify(after) !== JSON.stringify(before)) return undefined;
  const db = new SqliteDatabase(copy);
  try {
    if (before.log > 0 && hidesCommit(`${copy}-wal`, framesRead(db))) return undefined;
    // Everything into the one file, which then needs no log to be read.
    db.pragma('journal_mode = DELETE');
    return new SqliteDatabase(db.serialize());
  } finally {
    db.close();
  }
}

/** How many frames of the log SQLite reads: it ends at the first that does not follow from those before. */
function framesRead(db: Database): number {
  // SQLite opens both files with the first read.
  db.pragma('user_version');
  const [result]: unknown[] = db.prepare('PRAGMA wal_checkpoint(PASSIVE)').all();
  const hasLog = typeof result === 'object' && result !== null && 'log' in result;
  return hasLog ? Math.max(0, Number(result.log)) : 0;
}

/**
 * What follows the last frame that SQLite reads is what a write left that was given up, or what an older log
 * left. Only a commit among it, of this log, may be one that a damaged frame hides: to leave it out could
 * bring back what was revoked.
 */
function hidesCommit(log: string, framesRead: number): boolean {
  const header = bytesAt(log, 0, LOG_HEADER_BYTES);
  if (header.length < LOG_HEADER_BYTES) return false;
  const frameBytes = FRAME_HEADER_BYTES + header.readUInt32BE(8);
  const salts = header.subarray(16, 24);
  const size = statSync(log).size;
  if (frameBytes > 65_536 + FRAME_HEADER_BYTES) return true;
  for (let at = LOG_HEADER_BYTES + framesRead * frameBytes; at + frameBytes <= size; at += frameBytes) {
    const frame = bytesAt(log, at, FRAME_HEADER_BYTES);
    const isOfThisLog = framesRead === 0 || salts.equals(frame.subarray(8, 16));
    if (isOfThisLog && frame.readUInt32BE(4) !== 0) return true;
  }
  return false;
}

function bytesAt(path: string, position: number, length: number): Buffer {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, readSync(file, bytes, 0, length, position));
  } finally {
    closeSync(file);
  }
}

function sizes(path: string) {
  const infoOf = (suffix: string) => statSync(path + suffix, { throwIfNoEntry: false });
  const database = infoOf('');
  const log = infoOf('-wal');
  return {
    database: database?.size ?? 0,
    databaseChanged: database?.mtimeMs,
    log: log?.size ?? 0,
    logChanged: log?.mtimeMs,
    journal: infoOf('-journal')?.size ?? 0,
  };
}

function makeFolder(parent: string): string | undefined {
  try {
    return mkdtempSync(join(parent, 'pullwarden-'));
  } catch {
    return undefined;
  }
}
