import { readFileSync, statSync } from 'node:fs';
import type { Database } from 'better-sqlite3';
import { RecordStoreError } from '../../errors.ts';
import { checkSound, openDatabaseFromBytes } from './database.ts';
import { readMeta, writeMeta } from './load.ts';
import { migrate, RECORD_MIGRATIONS, schemaVersion } from './migrations.ts';
import { withLog } from './wal.ts';

/** More than any node's records take (a thousand images with a hundred secrets each: some 20 MiB). */
const MAX_BYTES = 64 * 1_048_576;

/**
 * What is in a database of records that cannot be written, as a database in memory: with what its log holds, and
 * without touching the files. Undefined where there is none, or none that is whole beyond doubt.
 *
 * @throws RecordStoreError `databaseNewer`.
 */
export function rescueRecords(path: string, now: number): Database | undefined {
  let db: Database | undefined;
  try {
    const bytes = readWhole(path);
    if (bytes === undefined) return undefined;
    db = openDatabaseFromBytes(bytes);
    checkSound(db);
    if (schemaVersion(db) > 0) {
      migrate(db, RECORD_MIGRATIONS);
      // What is on the node now was not all there when these records began.
      if (readMeta(db, 'inventoryTakenAt') === undefined) writeMeta(db, 'inventoryTakenAt', String(now));
      return db;
    }
  } catch (error) {
    db?.close();
    if (error instanceof RecordStoreError && error.reason === 'databaseNewer') throw error;
    // Whatever keeps it from being read: without records everything is verified.
    return undefined;
  }
  db.close();
  return undefined;
}

/** Throws what the file system says. */
function readWhole(path: string): Buffer | undefined {
  const log = readIfThere(`${path}-wal`);
  const journal = readIfThere(`${path}-journal`);
  const database = readIfThere(path);
  if (database.length === 0 || journal.length > 0) return undefined;
  // Another process that put its log into the database meanwhile makes of the two what never was.
  const changed = !readIfThere(`${path}-wal`).equals(log) || !readIfThere(path).equals(database);
  return changed ? undefined : withLog(database, log);
}

function readIfThere(path: string): Buffer {
  try {
    if (statSync(path).size > MAX_BYTES) throw new RecordStoreError('databaseFailed', `${path} is too large`);
    return readFileSync(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
}
