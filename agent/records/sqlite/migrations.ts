import type { Database } from 'better-sqlite3';
import { RecordStoreError } from '../../errors.ts';

/**
 * What the database of records looks like, step by step: entry n takes `PRAGMA user_version` from n to n + 1.
 * Add to the end and never change one that was released.
 *
 * A settled pull touches one row a table: secrets are rows and not a document, so that an image with a hundred
 * of them costs what an image with one does.
 */
export const RECORD_MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- image_id is the imageRef without "sha256:"; image_ref is what the runtime wrote.
  CREATE TABLE pulled_records (
    image_id TEXT PRIMARY KEY,
    image_ref TEXT NOT NULL,
    last_updated_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- kind: nodePodsAccessible (coordinates empty), kubernetesSecret or kubernetesServiceAccount (hash empty).
  CREATE TABLE pull_credentials (
    image_id TEXT NOT NULL,
    trimmed_image TEXT NOT NULL,
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    uid TEXT NOT NULL,
    credential_hash TEXT NOT NULL,
    PRIMARY KEY (image_id, trimmed_image, kind, namespace, name, uid)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE pull_intents (
    image TEXT PRIMARY KEY
  ) STRICT, WITHOUT ROWID;

  -- repository is empty for content that had no name.
  CREATE TABLE preloaded_images (
    image_id TEXT NOT NULL,
    repository TEXT NOT NULL,
    PRIMARY KEY (image_id, repository)
  ) STRICT, WITHOUT ROWID;
  `,
];

/** The version of a database's schema; 0 is an empty one. */
export function schemaVersion(db: Database): number {
  return Number(db.pragma('user_version', { simple: true }));
}

/**
 * Brings a database to the newest schema in one transaction. Throws RecordStoreError `databaseNewer` for one
 * that a newer Pullwarden wrote: what its rows mean is not known here, so nothing of it is read or changed.
 */
export function migrate(db: Database, migrations: readonly string[]): void {
  refuseNewer(db, migrations);
  if (schemaVersion(db) === migrations.length) return;
  db.transaction(() => {
    // Another process may have been first; what it did must not be done again.
    refuseNewer(db, migrations);
    for (const migration of migrations.slice(schemaVersion(db))) db.exec(migration);
    db.pragma(`user_version = ${migrations.length}`);
  }).immediate();
}

/** Throws RecordStoreError `databaseNewer`. */
export function refuseNewer(db: Database, migrations: readonly string[]): void {
  const version = schemaVersion(db);
  if (version <= migrations.length) return;
  throw new RecordStoreError(
    'databaseNewer',
    `${db.name} has schema version ${version}, and this Pullwarden knows versions up to ${migrations.length}: ` +
      'it was written by a newer one; run that, or move the file away',
  );
}
