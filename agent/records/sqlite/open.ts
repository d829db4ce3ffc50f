import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Database } from 'better-sqlite3';
import { RecordStoreError } from '../../errors.ts';
import { IndexedPullRecords } from '../indexed-records.ts';
import { KeptRows } from '../kept-rows.ts';
import { createKey, hideKeyFromOthers, keyedHashWith, randomKey, readKey } from '../keyed-hash.ts';
import { type MatchedNames, openMatchedNames } from '../matched-names.ts';
import { META } from '../meta.ts';
import { PullRecordStore } from '../pull-record-store.ts';
import type { RecordStore } from '../record-store.ts';
import { type Degraded, put, type Rows } from '../rows.ts';
import { openSavedState, type SavedState } from '../saved-state.ts';
import { openSeenContainers, type SeenContainers } from '../seen-containers.ts';
import { openShownPieces, type ShownPieces } from '../shown-pieces.ts';
import { openStanding, type Standing } from '../standing.ts';
import { StoredPullRecords } from '../stored-records.ts';
import { copyInMemory } from './copy-in-memory.ts';
import {
  checkSound,
  databaseError,
  openDatabaseFile,
  openDatabaseFileReadOnly,
  openDatabaseInMemory,
  prepareStateDirectory,
  setAside,
  wasSetAside,
} from './database.ts';
import { schemaVersion } from './migrations.ts';
import { checkSchemaVersion, prepareSchema, SCHEMA_VERSION } from './schema.ts';
import { SqliteRows } from './sqlite-rows.ts';

/** What an operator must hear of. `message` holds paths and counts, never a hash. */
export type RecordNotice = {
  readonly kind:
    | 'databaseSetAside'
    | 'databaseRebuilt'
    | 'keyReplaced'
    | 'keyReadableByOthers'
    | 'recordsUnreadable'
    | 'inventoryLost'
    | 'degraded'
    | 'recovered';
  readonly message: string;
};

/** Everything that the agent keeps on record, in one database. */
export type OpenedRecordStore = {
  readonly store: RecordStore;
  readonly standing: Standing;
  readonly shownPieces: ShownPieces;
  readonly matchedNames: MatchedNames;
  readonly seenContainers: SeenContainers;
  readonly savedState: SavedState;
  /** Kubelet's credentialHash -> what is stored in its place. */
  readonly keyedHash: (credentialHash: string) => string;
  /** Nothing was here before: neither database nor key. */
  readonly firstRun: boolean;
};

type Notify = (notice: RecordNotice) => void;

const DATABASE = 'records.db';
const KEY = 'hmac.key';

/**
 * Opens the records of a node, making what is missing: `records.db` and `hmac.key` in `stateDir`.
 *
 * What is damaged is set aside and rebuilt: the database, and the key that its rows are checked with. A
 * rebuilt store counts its inventory as taken and empty, because what is on the node by now was not all there
 * at first: nothing is preloaded, everything is verified. A directory that cannot be written gives a store in
 * memory, and its `degraded` says why: with what the directory holds where that can be read, so that a node
 * without a registry goes on; otherwise as strict as a rebuilt one.
 *
 * @throws RecordStoreError only for a database that a newer Pullwarden wrote and for one that another process
 * keeps locked (`databaseBusy`): both are in order, and guessing in their place would lose what they hold
 */
export function openRecordStore(options: {
  readonly stateDir: string;
  readonly onNotice?: Notify;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}): OpenedRecordStore {
  const { stateDir } = options;
  const notify = options.onNotice ?? (() => {});
  const now = options.now ?? Date.now;
  try {
    return openOrRebuild(stateDir, notify, now);
  } catch (error) {
    const failure = databaseError(error, `cannot use the state directory ${stateDir}`, stateDir);
    if (failure.reason === 'databaseNewer' || failure.reason === 'databaseBusy') throw failure;
    const degraded = { reason: failure.reason, message: failure.message };
    const rescued = rescue(stateDir, degraded);
    const what = rescued ? 'what was recorded before still counts' : 'every image is verified';
    const message = `records are kept in memory only, and ${what}: ${failure.message}`;
    notify({ kind: 'degraded', message });
    const { rows, key } = rescued ?? emptyInMemory(degraded, now);
    return { ...openParts(rows, rows, notify, now), keyedHash: keyedHashWith(key), firstRun: false };
  }
}

/** For the command line while the agent runs: reads, and refuses every write. @throws RecordStoreError */
export function openRecordStoreReadOnly(
  stateDir: string,
): Pick<OpenedRecordStore, 'store' | 'standing' | 'savedState' | 'keyedHash'> {
  const path = join(stateDir, DATABASE);
  const db = openDatabaseFileReadOnly(path);
  return openForCommand(stateDir, db, path);
}

/**
 * For the command line, whether the agent runs or not: records that are there already, to change them. Makes
 * nothing, repairs nothing: that is the agent's. @throws RecordStoreError
 */
export function openRecordStoreForEditing(stateDir: string): ReturnType<typeof openForCommand> {
  const path = join(stateDir, DATABASE);
  if (!existsSync(path)) throw new RecordStoreError('databaseFailed', `there are no records at ${path}`);
  return openForCommand(stateDir, openDatabaseFile(path, 'FULL'), path);
}

/**
 * For an import, whether the agent runs or was never started: a store to change, and how its hashes are made.
 * Makes a new one where there is none; what is damaged is left to the agent. @throws RecordStoreError
 */
export function openRecordStoreForImport(stateDir: string): ReturnType<typeof openForCommand> {
  const path = join(stateDir, DATABASE);
  if (!existsSync(path)) {
    try {
      openOnDisk(stateDir, () => {}, Date.now).store.close();
    } catch (error) {
      throw databaseError(error, `cannot make ${path}`);
    }
  }
  return openRecordStoreForEditing(stateDir);
}

function openForCommand(stateDir: string, db: Database, path: string) {
  try {
    const key = readKey(join(stateDir, KEY));
    if (!(key instanceof Buffer)) {
      const message = `${stateDir} lacks the key of its records: start the agent once`;
      throw new RecordStoreError('databaseFailed', message);
    }
    checkSchemaVersion(db, key);
    if (schemaVersion(db) !== SCHEMA_VERSION) {
      const message = `${path} has schema version ${schemaVersion(db)}: start the agent once, it brings it up to date`;
      throw new RecordStoreError('databaseFailed', message);
    }
    const rows = new SqliteRows(db, key);
    const store = new PullRecordStore(new IndexedPullRecords(new StoredPullRecords(rows), rows));
    return {
      store,
      standing: openStanding(rows),
      savedState: openSavedState(rows),
      keyedHash: keyedHashWith(key),
    };
  } catch (error) {
    db.close();
    throw databaseError(error, `cannot read ${path}`);
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

function openOnDisk(stateDir: string, notify: Notify, now: () => number): OpenedRecordStore {
  const path = join(stateDir, DATABASE);
  prepareStateDirectory(stateDir);
  const { key, isNew } = settleKey(join(stateDir, KEY), notify);
  const hadDatabase = isDatabase(path, key, isNew);
  const rebuilt = !hadDatabase && (!isNew || wasSetAside(path) || wasSetAside(join(stateDir, KEY)));
  if (rebuilt) {
    const message = `${path} was lost and is made anew: nothing counts as preloaded, every image is verified`;
    notify({ kind: 'databaseRebuilt', message });
  }
  const db = openDatabaseFile(path, 'FULL');
  try {
    const rows = new SqliteRows(db, key);
    // In one transaction: a kill in between must not leave a database that takes an inventory once more.
    db.transaction(() => {
      prepareSchema(db, key);
      if (rebuilt) rows.putAll([inventoryLost(now)]);
    }).immediate();
    // A disk that is full shows here and not at the first pull.
    rows.write({ doing: 'open the records', durability: 'power' }, () => [
      put('meta', [META.openedAt], [String(now())]),
    ]);
    const kept = new KeptRows(rows, (degraded) => notify(degradedNotice(degraded)));
    const firstRun = !hadDatabase && !rebuilt;
    return { ...openParts(kept, rows, notify, now), keyedHash: keyedHashWith(key), firstRun };
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Reads all that is on record, and takes away what does not pass its check. @throws RecordStoreError */
function openParts(rows: Rows, checked: SqliteRows, notify: Notify, now: () => number) {
  const inventory = [...checked.all('meta', [META.inventory])];
  const records = new IndexedPullRecords(new StoredPullRecords(rows), rows);
  const parts = {
    standing: openStanding(rows),
    shownPieces: openShownPieces(rows),
    matchedNames: openMatchedNames(rows),
    seenContainers: openSeenContainers(rows),
    savedState: openSavedState(rows),
  };
  // Whole tables only, so that what is counted is all.
  for (const _ of checked.all('meta'));
  const unsound = [...checked.unsound].filter(([, count]) => count > 0);
  const isPending = records.inventoryTakenAt() === undefined;
  // Before the inventory is taken, a record or intent that is lost is one that kept an image from counting
  // as preloaded.
  if (inventory.length === 0 || (isPending && unsound.length > 0)) {
    const message =
      'the inventory of preloaded images was lost, and no other is taken: what has no sound row is verified';
    notify({ kind: 'inventoryLost', message });
    checked.write({ doing: 'begin without an inventory', durability: 'power' }, () => [inventoryLost(now)]);
  }
  if (unsound.length > 0) {
    const counts = unsound.map(([table, count]) => `${count} of ${table}`).join(', ');
    const message =
      'rows that something else has changed count as absent, ' +
      `what they allowed is verified again: ${counts}`;
    notify({ kind: 'recordsUnreadable', message });
    checked.removeUnsound();
  }
  const reread = isPending || inventory.length === 0;
  const current = reread ? new IndexedPullRecords(new StoredPullRecords(rows), rows) : records;
  return { ...parts, store: new PullRecordStore(current, now) };
}

/**
 * Is there a database that is this node's? Looks at it read only, since a newer Pullwarden's must stay as it
 * is, to the byte.
 *
 * @throws RecordStoreError `databaseNewer`, `databaseCorrupt`
 */
function isDatabase(path: string, key: Buffer, keyIsNew: boolean): boolean {
  if (!existsSync(path) || statSync(path).size === 0) return false;
  const db = openDatabaseFileReadOnly(path);
  try {
    // Made, and nothing in it yet; or a header that was damaged.
    if (schemaVersion(db) === 0) return refuseTables(db);
    if (keyIsNew) throw new RecordStoreError('databaseCorrupt', `the key of ${path} was lost`);
    checkSchemaVersion(db, key);
    return true;
  } finally {
    db.close();
  }
}

function refuseTables(db: Database): false {
  if (db.prepare('SELECT 1 FROM sqlite_schema').get() === undefined) return false;
  throw new RecordStoreError('databaseCorrupt', `${db.name} has tables, but no schema version`);
}

/** The node's key, made where there is none that is one. */
function settleKey(path: string, notify: Notify): { readonly key: Buffer; readonly isNew: boolean } {
  const known = readKey(path);
  if (known instanceof Buffer) {
    if (hideKeyFromOthers(path)) {
      const message = `${path} could be read by others on this node; from now on only its owner can`;
      notify({ kind: 'keyReadableByOthers', message });
    }
    return { key: known, isNew: false };
  }
  if (known === 'damaged') {
    notify({ kind: 'keyReplaced', message: `${path} is no key; kept as ${setAside(path)}` });
  }
  createKey(path);
  const key = readKey(path);
  if (!(key instanceof Buffer)) throw new RecordStoreError('databaseFailed', `${path} could not be made`);
  return { key, isNew: true };
}

type InMemory = { readonly rows: SqliteRows; readonly key: Buffer };

/**
 * What is on record, in memory; undefined where it is not whole beyond doubt. @throws RecordStoreError
 * `databaseNewer`
 */
function rescue(stateDir: string, degraded: Degraded): InMemory | undefined {
  const key = readableKey(join(stateDir, KEY));
  const db = key && copyInMemory(join(stateDir, DATABASE));
  if (!db) return undefined;
  try {
    checkSound(db);
    if (schemaVersion(db) === 0) return undefined;
    checkSchemaVersion(db, key);
    prepareSchema(db, key);
    const rows = new SqliteRows(db, key, degraded);
    const [inventory] = rows.all('meta', [META.inventory]);
    // What is on the node now was not all there when these records began.
    if (inventory === undefined || Number.isNaN(Number(inventory[1]))) rows.putAll([inventoryLost(Date.now)]);
    return { rows, key };
  } catch (error) {
    db.close();
    if (error instanceof RecordStoreError && error.reason === 'databaseNewer') throw error;
    // Whatever keeps it from being read: without records everything is verified.
    return undefined;
  }
}

function emptyInMemory(degraded: Degraded, now: () => number): InMemory {
  const db = openDatabaseInMemory();
  const key = randomKey();
  prepareSchema(db, key);
  const rows = new SqliteRows(db, key, degraded);
  rows.putAll([inventoryLost(now)]);
  return { rows, key };
}

function inventoryLost(now: () => number) {
  return put('meta', [META.inventory], [String(now())]);
}

function readableKey(path: string): Buffer | undefined {
  try {
    const key = readKey(path);
    return key instanceof Buffer ? key : undefined;
  } catch {
    return undefined;
  }
}

function degradedNotice(degraded: Degraded | undefined): RecordNotice {
  if (degraded === undefined) {
    return { kind: 'recovered', message: 'what was kept in memory is on the disk now' };
  }
  const message = `what is new is kept in memory only, and verified again after a restart: ${degraded.message}`;
  return { kind: 'degraded', message };
}
