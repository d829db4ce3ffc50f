import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IndexedPullRecords } from '../../agent/records/indexed-records.ts';
import { KeptRows } from '../../agent/records/kept-rows.ts';
import { randomKey } from '../../agent/records/keyed-hash.ts';
import { PullRecordStore } from '../../agent/records/pull-record-store.ts';
import type { RecordStore } from '../../agent/records/record-store.ts';
import { openDatabaseFile, openDatabaseFileReadOnly } from '../../agent/records/sqlite/database.ts';
import { prepareSchema } from '../../agent/records/sqlite/schema.ts';
import { SqliteRows } from '../../agent/records/sqlite/sqlite-rows.ts';
import { StoredPullRecords } from '../../agent/records/stored-records.ts';
import { makeRowsInMemory, makeStoreInMemory } from './store-in-memory.ts';
import { runStoreSuite } from './store-suite.ts';

runStoreSuite('every question to the rows of the database', (now) => {
  const store = new PullRecordStore(new StoredPullRecords(makeRowsInMemory()), now);
  return { store, cleanUp: () => store.close() };
});

runStoreSuite('index in memory', (now) => {
  const store = makeStoreInMemory(now);
  return { store, cleanUp: () => store.close() };
});

runStoreSuite('index in memory, rows on disk that are kept when they cannot be written', (now) => {
  const folder = mkdtempSync(join(tmpdir(), 'pullwarden-store-'));
  const db = openDatabaseFile(join(folder, 'records.db'), 'FULL');
  const key = randomKey();
  prepareSchema(db, key);
  const rows = new KeptRows(new SqliteRows(db, key));
  const store = new PullRecordStore(new IndexedPullRecords(new StoredPullRecords(rows), rows), now);
  return {
    store,
    cleanUp: () => {
      store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
});

/** Written by one process and read by another: what memory answers is what the database holds. */
runStoreSuite('index in memory, written through another connection', (now) => {
  const folder = mkdtempSync(join(tmpdir(), 'pullwarden-store-'));
  const path = join(folder, 'records.db');
  const db = openDatabaseFile(path, 'FULL');
  const key = randomKey();
  prepareSchema(db, key);
  const writer = storeOf(new SqliteRows(db, key));
  const reader = storeOf(new SqliteRows(openDatabaseFileReadOnly(path), key));

  function storeOf(rows: SqliteRows): PullRecordStore {
    return new PullRecordStore(new IndexedPullRecords(new StoredPullRecords(rows), rows), now);
  }
  const fresh = () => {
    reader.refresh();
    return reader;
  };
  const store: RecordStore = {
    pulledRecord: (imageRef) => fresh().pulledRecord(imageRef),
    pullIntentExists: (image) => fresh().pullIntentExists(image),
    isPreloaded: (imageRef, repository) => fresh().isPreloaded(imageRef, repository),
    get hasInventory() {
      return fresh().hasInventory;
    },
    get recordCount() {
      return fresh().recordCount;
    },
    degraded: undefined,
    verifiedAt: (...grant) => fresh().verifiedAt(...grant),
    listPulledRecords: () => fresh().listPulledRecords(),
    listGrants: () => fresh().listGrants(),
    listPullIntents: () => fresh().listPullIntents(),
    recordPullIntent: (image) => writer.recordPullIntent(image),
    recordImagePulled: (...pull) => writer.recordImagePulled(...pull),
    recordImagePullFailed: (image) => writer.recordImagePullFailed(image),
    recordGranted: (...grant) => writer.recordGranted(...grant),
    mergeCredentials: (...match) => writer.mergeCredentials(...match),
    revokeSecret: (...refused) => writer.revokeSecret(...refused),
    revoke: (...refused) => writer.revoke(...refused),
    reconcilePullIntents: (present) => writer.reconcilePullIntents(present),
    matchImportedRecords: (present) => writer.matchImportedRecords(present),
    takeInventory: (present) => writer.takeInventory(present),
    pruneUnknownRecords: (...pruned) => writer.pruneUnknownRecords(...pruned),
    forget: (...forgotten) => writer.forget(...forgotten),
    forgetGrants: (...forgotten) => writer.forgetGrants(...forgotten),
    forgetOwner: (owner) => writer.forgetOwner(owner),
    refresh: () => writer.refresh(),
    close: () => writer.close(),
  };
  return {
    store,
    cleanUp: () => {
      reader.close();
      writer.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
});
