import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RecordStore } from '../../../agent/records/record-store.ts';
import {
  openDatabaseFile,
  openDatabaseFileReadOnly,
  openDatabaseInMemory,
} from '../../../agent/records/sqlite/database.ts';
import { migrate, RECORD_MIGRATIONS } from '../../../agent/records/sqlite/migrations.ts';
import { SqliteRecordStore } from '../../../agent/records/sqlite/store.ts';
import { runStoreSuite } from '../store-suite.ts';

runStoreSuite('SQLite on disk', (now) => {
  const folder = mkdtempSync(join(tmpdir(), 'pullwarden-store-'));
  const db = openDatabaseFile(join(folder, 'records.db'), 'FULL');
  migrate(db, RECORD_MIGRATIONS);
  const store = new SqliteRecordStore(db, { now });
  return {
    store,
    cleanUp: () => {
      store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
});

runStoreSuite('SQLite in memory', (now) => {
  const db = openDatabaseInMemory();
  migrate(db, RECORD_MIGRATIONS);
  const store = new SqliteRecordStore(db, { now });
  return { store, cleanUp: () => store.close() };
});

/** Written by one process and read by another: what memory answers is what the database holds. */
runStoreSuite('SQLite on disk, read through a second connection', (now) => {
  const folder = mkdtempSync(join(tmpdir(), 'pullwarden-store-'));
  const path = join(folder, 'records.db');
  const db = openDatabaseFile(path, 'FULL');
  migrate(db, RECORD_MIGRATIONS);
  const writer = new SqliteRecordStore(db, { now });
  const reader = new SqliteRecordStore(openDatabaseFileReadOnly(path));
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
    listPulledRecords: () => fresh().listPulledRecords(),
    listPullIntents: () => fresh().listPullIntents(),
    recordPullIntent: (image) => writer.recordPullIntent(image),
    recordImagePulled: (...pull) => writer.recordImagePulled(...pull),
    recordImagePullFailed: (image) => writer.recordImagePullFailed(image),
    mergeCredentials: (...match) => writer.mergeCredentials(...match),
    revokeSecret: (...refused) => writer.revokeSecret(...refused),
    reconcilePullIntents: (present) => writer.reconcilePullIntents(present),
    takeInventory: (present) => writer.takeInventory(present),
    pruneUnknownRecords: (...pruned) => writer.pruneUnknownRecords(...pruned),
    forget: (...forgotten) => writer.forget(...forgotten),
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
