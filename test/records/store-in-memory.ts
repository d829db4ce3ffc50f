import { IndexedPullRecords } from '../../agent/records/indexed-records.ts';
import { randomKey } from '../../agent/records/keyed-hash.ts';
import { PullRecordStore } from '../../agent/records/pull-record-store.ts';
import type { RecordStore } from '../../agent/records/record-store.ts';
import { openDatabaseInMemory } from '../../agent/records/sqlite/database.ts';
import { prepareSchema } from '../../agent/records/sqlite/schema.ts';
import { SqliteRows } from '../../agent/records/sqlite/sqlite-rows.ts';
import { StoredPullRecords } from '../../agent/records/stored-records.ts';

/** The rows of a state database in memory, empty and without an inventory. */
export function makeRowsInMemory(): SqliteRows {
  const db = openDatabaseInMemory();
  const key = randomKey();
  prepareSchema(db, key);
  return new SqliteRows(db, key);
}

/** An empty store in memory, without an inventory. `now` in milliseconds since the epoch. */
export function makeStoreInMemory(now?: () => number): RecordStore {
  const rows = makeRowsInMemory();
  return new PullRecordStore(new IndexedPullRecords(new StoredPullRecords(rows), rows), now);
}
