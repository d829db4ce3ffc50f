import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import SqliteDatabase, { type Database } from 'better-sqlite3';
import { RecordStoreError } from '../../errors.ts';
import { copyInMemory } from './copy-in-memory.ts';
import { schemaVersion } from './migrations.ts';

/**
 * How long a write waits for another process's, in ms. Short, because SQLite waits in the thread that asks:
 * the agent's own, where everything else stands still meanwhile. Others write rarely and for some ms
 * (`records forget`, an import), and what is not written is verified again.
 */
const BUSY_TIMEOUT_MS = 500;
/** Damaged files are kept to be looked at, but a crash loop must not fill the disk with them. */
const KEPT_ASIDE = 3;
/** Less than this is a full disk: a log grows by a page and its header at least, the -shm by 32 KiB. */
const ROOM_TO_WRITE = 65_536;

/** Makes the state directory, for its owner only. Throws what the file system says. */
export function prepareStateDirectory(stateDir: string): void {
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  chmodSync(stateDir, 0o700);
}

/**
 * Opens a database file for reading and writing in WAL mode and makes sure that it is sound (quick_check).
 * The file, and with it its -wal and -shm, is for its owner only. @throws RecordStoreError: `databaseCorrupt`
 * for one that is damaged or no database at all, otherwise why it cannot be used.
 */
export function openDatabaseFile(path: string, synchronous: 'FULL' | 'NORMAL'): Database {
  let db: Database | undefined;
  try {
    // SQLite gives -wal and -shm the mode of the database, so it must be right before they are there.
    closeSync(openSync(path, 'a', 0o600));
    chmodSync(path, 0o600);
    db = new SqliteDatabase(path, { timeout: BUSY_TIMEOUT_MS });
    db.pragma('journal_mode = WAL');
    db.pragma(`synchronous = ${synchronous}`);
    // What was revoked must not lie about in a page where a damaged pointer could find it.
    db.pragma('secure_delete = ON');
    // After a burst the log shrinks back to this many bytes.
    db.pragma('journal_size_limit = 4194304');
    checkSound(db);
    return db;
  } catch (error) {
    db?.close();
    throw databaseError(error, `cannot open ${path}`, path);
  }
}

/**
 * Opens a database file that another process may be writing, to read only. Where SQLite cannot make the files
 * that it needs beside it (a read-only or full disk), what is returned is a copy in memory: it shows nothing
 * that comes later.
 *
 * @throws RecordStoreError
 */
export function openDatabaseFileReadOnly(path: string): Database {
  let db: Database | undefined;
  try {
    db = new SqliteDatabase(path, { readonly: true, fileMustExist: true, timeout: BUSY_TIMEOUT_MS });
    // SQLite opens the file only now.
    schemaVersion(db);
    return db;
  } catch (error) {
    db?.close();
    const failure = databaseError(error, `cannot open ${path}`, path);
    const copy = failure.reason === 'databaseCorrupt' ? undefined : copyInMemory(path);
    if (copy) return copy;
    throw failure;
  }
}

/** Whether a file at this path was once set aside. */
export function wasSetAside(path: string): boolean {
  return setAsideEarlier(path).length > 0;
}

export function openDatabaseInMemory(): Database {
  return new SqliteDatabase(':memory:');
}

/**
 * Moves a damaged file away under a dated name, with its -wal and -shm: a log left behind would be played
 * into the new database. Returns the new path. Throws what the file system says.
 */
export function setAside(path: string, now: Date = new Date()): string {
  const dated = `${path}.damaged-${now.toISOString().replaceAll(':', '-')}`;
  for (const suffix of ['-wal', '-shm', '']) {
    if (existsSync(path + suffix)) renameSync(path + suffix, dated + suffix);
  }
  for (const name of setAsideEarlier(path).slice(0, -KEPT_ASIDE)) {
    for (const suffix of ['', '-wal', '-shm']) rmSync(join(dirname(path), name + suffix), { force: true });
  }
  return dated;
}

/**
 * What went wrong in SQLite's or the file system's words -> RecordStoreError. `path`, of the database or its
 * folder, tells whether an I/O error that names no cause is one of space.
 */
export function databaseError(error: unknown, doing: string, path?: string): RecordStoreError {
  if (error instanceof RecordStoreError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new RecordStoreError(failureOf(error, path), `${doing}: ${message}`, { cause: error });
}

function setAsideEarlier(path: string): string[] {
  return readdirSync(dirname(path))
    .filter((name) => name.startsWith(`${basename(path)}.damaged-`) && !/-(wal|shm)$/.test(name))
    .sort();
}

function failureOf(error: unknown, path: string | undefined): RecordStoreError['reason'] {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'SQLITE_FULL' || code === 'ENOSPC' || code === 'EDQUOT') return 'databaseFull';
  if (/^SQLITE_(READONLY|PERM|CANTOPEN)/.test(code) || ['EROFS', 'EACCES', 'EPERM'].includes(code)) {
    return 'databaseReadOnly';
  }
  // SQLITE_ERROR: the statements are fixed, so a table or column that they do not find was there once.
  if (/^SQLITE_(CORRUPT|NOTADB|ERROR$)/.test(code)) return 'databaseCorrupt';
  if (/^SQLITE_(BUSY|LOCKED)/.test(code)) return 'databaseBusy';
  // To grow the -shm on a full disk is such an error (SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_SHMMAP).
  if (/^SQLITE_IOERR/.test(code) && path !== undefined && isFull(path)) return 'databaseFull';
  return 'databaseFailed';
}

function isFull(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(existsSync(path) ? path : dirname(path));
    return bavail * bsize < ROOM_TO_WRITE;
  } catch {
    return false;
  }
}

/** quick_check. @throws RecordStoreError (`databaseCorrupt`), or what SQLite says. */
export function checkSound(db: Database): void {
  const found = String(db.pragma('quick_check(1)', { simple: true }));
  if (found === 'ok') return;
  throw new RecordStoreError('databaseCorrupt', `${db.name} is damaged: ${found}`);
}
