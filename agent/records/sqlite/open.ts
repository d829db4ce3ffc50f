import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Database } from 'better-sqlite3';
import { RecordStoreError } from '../../errors.ts';
import { createKey, keyCheckValue, keyedHashWith, randomKey, readKey } from '../keyed-hash.ts';
import type { RecordStore } from '../record-store.ts';
import {
  databaseError,
  openDatabaseFile,
  openDatabaseFileReadOnly,
  openDatabaseInMemory,
  prepareStateDirectory,
  setAside,
  wasSetAside,
} from './database.ts';
import { readMeta, writeMeta } from './load.ts';
import { migrate, RECORD_MIGRATIONS, refuseNewer, schemaVersion } from './migrations.ts';
import { rescueRecords } from './rescue.ts';
import { SqliteRecordStore } from './store.ts';

/** What an operator must hear of. `message` holds paths and image ids, never a hash. */
export type RecordNotice = {
  readonly kind: 'databaseSetAside' | 'databaseRebuilt' | 'keyReplaced' | 'recordsUnreadable' | 'degraded';
  readonly message: string;
};

export type OpenedRecordStore = {
  readonly store: RecordStore;
  /** Kubelet's credentialHash -> what is stored in its place. */
  readonly keyedHash: (credentialHash: string) => string;
  /** Nothing was here before: neither database nor key. */
  readonly firstRun: boolean;
  /** Why the records are only in memory; absent when they are on disk. */
  readonly degraded?: { readonly reason: RecordStoreError['reason']; readonly message: string };
};

type Notify = (notice: RecordNotice) => void;

const DATABASE = 'records.db';
const KEY = 'hmac.key';

/**
 * Opens the records of a node, making what is missing: `records.db` and `hmac.key` in `stateDir`.
 *
 * What is damaged is set aside and rebuilt. A rebuilt store counts its inventory as taken and empty, because what
 * is on the node by now was not all there at first: nothing is preloaded, everything is verified. A directory
 * that cannot be written gives a store in memory, and `degraded` says why: with what the directory holds where that
 * can be read, so that a node without a registry goes on; otherwise as strict as a rebuilt one.
 *
 * Throws RecordStoreError only for a database that a newer Pullwarden wrote and for one that another process keeps
 * locked (`databaseBusy`): both are in order, and guessing in their place would lose what they hold.
 */
export function openRecordStore(options: {
  readonly stateDir: string;
  readonly onNotice?: Notify;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}): OpenedRecordStore {
  const notify = options.onNotice ?? (() => {});
  const now = options.now ?? Date.now;
  try {
    return openOrRebuild(options.stateDir, notify, now);
  } catch (error) {
    const doing = `cannot use the state directory ${options.stateDir}`;
    const failure = databaseError(error, doing, options.stateDir);
    if (failure.reason === 'databaseNewer' || failure.reason === 'databaseBusy') throw failure;
    const rescued = rescueRecords(join(options.stateDir, DATABASE), now());
    const what = rescued ? 'what was recorded before still counts' : 'every image is verified';
    notify({
      kind: 'degraded',
      message: `records are kept in memory only, and ${what}: ${failure.message}`,
    });
    const degraded = { reason: failure.reason, message: failure.message };
    return { ...openInMemory(rescued, options.stateDir, notify, now), firstRun: false, degraded };
  }
}

/** For the command line while the agent runs: reads, and refuses every write. Throws RecordStoreError. */
export function openRecordStoreReadOnly(stateDir: string): {
  readonly store: RecordStore;
  /** Absent when there is no key that could be read. */
  readonly keyedHash?: (credentialHash: string) => string;
} {
  const path = join(stateDir, DATABASE);
  const db = openDatabaseFileReadOnly(path);
  try {
    requireSchema(db);
    const store = new SqliteRecordStore(db);
    const key = readKey(join(stateDir, KEY));
    return key instanceof Buffer ? { store, keyedHash: keyedHashWith(key) } : { store };
  } catch (error) {
    db.close();
    throw databaseError(error, `cannot read ${path}`);
  }
}

/**
 * For the command line while the agent runs: a store that is there already, to change it. Makes nothing, repairs
 * nothing: that is the agent's. Throws RecordStoreError.
 */
export function openRecordStoreForEditing(stateDir: string): RecordStore {
  const path = join(stateDir, DATABASE);
  if (!existsSync(path)) throw new RecordStoreError('databaseFailed', `there are no records at ${path}`);
  const db = openDatabaseFile(path, 'FULL');
  try {
    requireSchema(db);
    return new SqliteRecordStore(db);
  } catch (error) {
    db.close();
    throw databaseError(error, `cannot use ${path}`);
  }
}

/**
 * For an import, whether the agent runs or was never started: a store to change, and how its hashes are made. Makes a
 * new one where there is none; what is damaged is left to the agent. Throws RecordStoreError.
 */
export function openRecordStoreForImport(stateDir: string): {
  readonly store: SqliteRecordStore;
  readonly keyedHash: (credentialHash: string) => string;
} {
  const path = join(stateDir, DATABASE);
  if (!existsSync(path)) {
    try {
      return openOnDisk(stateDir, () => {}, Date.now);
    } catch (error) {
      throw databaseError(error, `cannot make ${path}`);
    }
  }
  const db = openDatabaseFile(path, 'FULL');
  try {
    requireSchema(db);
    const key = readKey(join(stateDir, KEY));
    if (!(key instanceof Buffer) || readMeta(db, 'keyCheck') !== keyCheckValue(key)) {
      throw new RecordStoreError(
        'databaseFailed',
        `${stateDir} lacks the key of its records: start the agent once`,
      );
    }
    return { store: new SqliteRecordStore(db), keyedHash: keyedHashWith(key) };
  } catch (error) {
    db.close();
    throw databaseError(error, `cannot use ${path}`);
  }
}

function openOrRebuild(stateDir: string, notify: Notify, now: () => number): OpenedRecordStore {
  try {
    return openOnDisk(stateDir, notify, now);
  } catch (error) {
    const path = join(stateDir, DATABASE);
    const failure = databaseError(error, `cannot use ${path}`, path);
    if (failure.reason !== 'databaseCorrupt') throw failure;
    const dated = setAside(path);
    notify({ kind: 'databaseSetAside', message: `${failure.message}; kept as ${dated}` });
    return openOnDisk(stateDir, notify, now);
  }
}

function openOnDisk(
  stateDir: string,
  notify: Notify,
  now: () => number,
): OpenedRecordStore & { readonly store: SqliteRecordStore } {
  const path = join(stateDir, DATABASE);
  const keyPath = join(stateDir, KEY);
  prepareStateDirectory(stateDir);
  const hadKey = readKey(keyPath) !== undefined;
  const hadDatabase = schemaVersionOf(path) > 0;
  const rebuilt = !hadDatabase && (hadKey || wasSetAside(path));
  if (rebuilt) {
    const message = `${path} was lost and is made anew: nothing counts as preloaded, every image is verified`;
    notify({ kind: 'databaseRebuilt', message });
  }
  const db = openDatabaseFile(path, 'FULL');
  try {
    // In one transaction: a kill in between must not leave a database that takes an inventory once more.
    db.transaction(() => {
      migrate(db, RECORD_MIGRATIONS);
      if (rebuilt) writeMeta(db, 'inventoryTakenAt', String(now()));
    }).immediate();
    const key = settleKey(db, keyPath, notify);
    // A disk that is full shows here and not at the first pull.
    writeMeta(db, 'openedAt', String(now()));
    const store = new SqliteRecordStore(db, {
      now,
      onUnreadable: (imageIds) => notify({ kind: 'recordsUnreadable', message: unreadableMessage(imageIds) }),
    });
    return { store, keyedHash: keyedHashWith(key), firstRun: !hadDatabase && !rebuilt };
  } catch (error) {
    db.close();
    throw error;
  }
}

/**
 * 0 where there is no database yet. Looks at it read only, since a newer Pullwarden's must stay as it is, to the
 * byte. Throws RecordStoreError.
 */
function schemaVersionOf(path: string): number {
  if (!existsSync(path) || statSync(path).size === 0) return 0;
  const db = openDatabaseFileReadOnly(path);
  try {
    refuseNewer(db, RECORD_MIGRATIONS);
    return schemaVersion(db);
  } finally {
    db.close();
  }
}

/** The key of these records, made where there is none. */
function settleKey(db: Database, path: string, notify: Notify): Buffer {
  let key = readKey(path);
  if (key === 'damaged') {
    notify({ kind: 'keyReplaced', message: `${path} is no key; kept as ${setAside(path)}` });
    key = undefined;
  }
  if (key === undefined) {
    createKey(path);
    key = readKey(path);
  }
  if (!(key instanceof Buffer)) throw new RecordStoreError('databaseFailed', `${path} could not be made`);
  adoptKey(db, key, path, notify);
  return key;
}

/** Makes a key the one of these records: hashes of another go. */
function adoptKey(db: Database, key: Buffer, path: string, notify: Notify): void {
  const checkValue = keyCheckValue(key);
  const known = readMeta(db, 'keyCheck');
  if (known === checkValue) return;
  const emptied = db
    .transaction(() => {
      writeMeta(db, 'keyCheck', checkValue);
      return db.prepare("UPDATE pull_credentials SET credential_hash = '' WHERE credential_hash <> ''").run();
    })
    .immediate().changes;
  if (known !== undefined || emptied > 0) {
    const message = `${path} is not the key that the records were made with: ${emptied} hashes were emptied`;
    notify({ kind: 'keyReplaced', message: `${message}, those secrets match by name only` });
  }
}

function openInMemory(
  rescued: Database | undefined,
  stateDir: string,
  notify: Notify,
  now: () => number,
): Pick<OpenedRecordStore, 'store' | 'keyedHash'> {
  if (rescued === undefined) {
    const db = openDatabaseInMemory();
    migrate(db, RECORD_MIGRATIONS);
    writeMeta(db, 'inventoryTakenAt', String(now()));
    return { store: new SqliteRecordStore(db, { now }), keyedHash: keyedHashWith(randomKey()) };
  }
  const keyPath = join(stateDir, KEY);
  const key = readableKey(keyPath) ?? randomKey();
  adoptKey(rescued, key, keyPath, notify);
  const onUnreadable = (imageIds: readonly string[]) =>
    notify({ kind: 'recordsUnreadable', message: unreadableMessage(imageIds) });
  return { store: new SqliteRecordStore(rescued, { now, onUnreadable }), keyedHash: keyedHashWith(key) };
}

function readableKey(path: string): Buffer | undefined {
  try {
    const key = readKey(path);
    return key instanceof Buffer ? key : undefined;
  } catch {
    return undefined;
  }
}

function requireSchema(db: Database): void {
  refuseNewer(db, RECORD_MIGRATIONS);
  const version = schemaVersion(db);
  if (version === RECORD_MIGRATIONS.length) return;
  const message = `${db.name} has schema version ${version}: start the agent once, it brings it up to date`;
  throw new RecordStoreError('databaseFailed', message);
}

function unreadableMessage(imageIds: readonly string[]): string {
  const some = imageIds.slice(0, 5).join(', ');
  const more = imageIds.length > 5 ? ` and ${imageIds.length - 5} more` : '';
  return `records that make no sense were emptied, these images are verified again: ${some}${more}`;
}
