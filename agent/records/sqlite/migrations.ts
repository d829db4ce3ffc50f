import type { Database } from 'better-sqlite3';
import { RecordStoreError } from '../../errors.ts';

/** One step of a schema: SQL, or what SQL alone cannot do. */
export type Migration = string | ((db: Database) => void);

/** The version of a database's schema; 0 is an empty one. */
export function schemaVersion(db: Database): number {
  return Number(db.pragma('user_version', { simple: true }));
}

/**
 * Brings a database to the newest schema in one transaction: entry n takes `PRAGMA user_version` from n to n
 * + 1.
 *
 * @throws RecordStoreError `databaseNewer` for one that a newer Pullwarden wrote: what its rows mean is not
 * known here, so nothing of it is read or changed
 */
export function migrate(db: Database, migrations: readonly Migration[]): void {
  refuseNewer(db, migrations.length);
  if (schemaVersion(db) === migrations.length) return;
  db.transaction(() => {
    // Another process may have been first; what it did must not be done again.
    refuseNewer(db, migrations.length);
    for (const migration of migrations.slice(schemaVersion(db))) {
      if (typeof migration === 'string') db.exec(migration);
      else migration(db);
    }
    db.pragma(`user_version = ${migrations.length}`);
  }).immediate();
}

/** @throws RecordStoreError `databaseNewer` */
export function refuseNewer(db: Database, newest: number): void {
  const version = schemaVersion(db);
  if (version <= newest) return;
  throw new RecordStoreError(
    'databaseNewer',
    `${db.name} has schema version ${version}, and this Pullwarden knows versions up to ${newest}: ` +
      'it was written by a newer one; run that, or move the file away',
  );
}
