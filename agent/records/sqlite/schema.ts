import type { Database } from 'better-sqlite3';
import { RecordStoreError } from '../../errors.ts';
import { keyCheckValue } from '../keyed-hash.ts';
import { INVENTORY_PENDING, META } from '../meta.ts';
import { put, type RowChange } from '../rows.ts';
import { adoptUnchecked } from './adopt.ts';
import { type Migration, migrate, schemaVersion } from './migrations.ts';
import { SqliteRows } from './sqlite-rows.ts';

export const SCHEMA_VERSION = 3;

/**
 * What the database of records looks like, step by step. Add to the end and never change one that was
 * released; the table `meta` keeps its columns for ever, so that every version can tell a newer database from
 * a damaged one.
 */
function migrationsWith(key: Buffer): readonly Migration[] {
  return [VERSION_1, (db) => toVersion2(db, key), (db) => toVersion3(db, key)];
}

/** Rows without checks; only ever read again to bring such a database up to date. */
export const VERSION_1 = `
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
`;

const VERSION_2 = `
  DROP TABLE meta;
  DROP TABLE pulled_records;
  DROP TABLE pull_credentials;
  DROP TABLE pull_intents;
  DROP TABLE preloaded_images;

  CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    row_check TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- image_id is the imageRef without "sha256:"; image_ref is what the runtime wrote.
  CREATE TABLE pulled_records (
    image_id TEXT PRIMARY KEY,
    image_ref TEXT NOT NULL,
    last_updated_ms INTEGER NOT NULL,
    row_check TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- credentials: who may use the image under this name, and when that was verified; see entry-text.ts.
  CREATE TABLE pull_entries (
    image_id TEXT NOT NULL,
    trimmed_image TEXT NOT NULL,
    credentials TEXT NOT NULL,
    row_check TEXT NOT NULL,
    PRIMARY KEY (image_id, trimmed_image)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE pull_intents (
    image TEXT PRIMARY KEY,
    row_check TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- repository is empty for content that had no name.
  CREATE TABLE preloaded_images (
    image_id TEXT NOT NULL,
    repository TEXT NOT NULL,
    row_check TEXT NOT NULL,
    PRIMARY KEY (image_id, repository)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE standing (
    image_id TEXT NOT NULL,
    trimmed_image TEXT NOT NULL,
    namespace TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    granted_by TEXT NOT NULL,
    row_check TEXT NOT NULL,
    PRIMARY KEY (image_id, trimmed_image, namespace)
  ) STRICT, WITHOUT ROWID;

  -- piece: the digest of an image config, or the diff_id of a layer. shown: 0 named, 1 brought, 2 shown.
  CREATE TABLE pieces (
    piece TEXT NOT NULL,
    host TEXT NOT NULL,
    first_seen_at REAL NOT NULL,
    shown INTEGER NOT NULL,
    row_check TEXT NOT NULL,
    PRIMARY KEY (piece, host)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE seen_containers (
    container_id TEXT PRIMARY KEY,
    row_check TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
`;

const VERSION_3 = `
  -- The manifest at this repository names, for every layer of the image, a blob that unpacks to it.
  CREATE TABLE matched_names (
    image_id TEXT NOT NULL,
    repository TEXT NOT NULL,
    row_check TEXT NOT NULL,
    PRIMARY KEY (image_id, repository)
  ) STRICT, WITHOUT ROWID;
`;

/**
 * Makes the tables of a new database, or brings those of an older one up to date. @throws RecordStoreError
 */
export function prepareSchema(db: Database, key: Buffer): void {
  migrate(db, migrationsWith(key));
}

/**
 * Is the version that the header tells the one that the rows tell? A newer Pullwarden's database is left
 * alone; one whose header was damaged must not pass for one.
 *
 * @throws RecordStoreError `databaseNewer`, `databaseCorrupt`
 */
export function checkSchemaVersion(db: Database, key: Buffer): void {
  const version = schemaVersion(db);
  if (version === 1) return;
  const [row] = new SqliteRows(db, key).all('meta', [META.schemaVersion]);
  if (row === undefined || Number(row[1]) !== version) {
    throw new RecordStoreError(
      'databaseCorrupt',
      `${db.name} says that it has schema version ${version}, and its rows do not`,
    );
  }
  if (version > SCHEMA_VERSION) {
    throw new RecordStoreError(
      'databaseNewer',
      `${db.name} has schema version ${version}, and this Pullwarden knows versions up to ${SCHEMA_VERSION}: ` +
        'it was written by a newer one; run that, or move the file away',
    );
  }
}

function toVersion2(db: Database, key: Buffer): void {
  const adopted = isNew(db) ? newRows : adoptUnchecked(db, keyCheckValue(key));
  db.exec(VERSION_2);
  const rows = new SqliteRows(db, key);
  rows.putAll([...adopted, put('meta', [META.schemaVersion], ['2'])]);
}

function toVersion3(db: Database, key: Buffer): void {
  db.exec(VERSION_3);
  new SqliteRows(db, key).putAll([put('meta', [META.schemaVersion], ['3'])]);
}

const newRows: readonly RowChange[] = [put('meta', [META.inventory], [INVENTORY_PENDING])];

/** Nothing was ever written to the tables that the first step has just made. */
function isNew(db: Database): boolean {
  return db.prepare('SELECT 1 FROM meta').get() === undefined;
}
