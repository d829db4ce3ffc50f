import type { Database } from 'better-sqlite3';
import { imageIdKey } from '../../image/image-id.ts';
import { byCoordinates, entryOf } from '../merge.ts';
import type { ImagePullCredentials, ImagePullSecret, ImagePullServiceAccount } from '../types.ts';
import { MemoryIndex } from './memory-index.ts';

/** What a row says when something other than this code wrote it is bounded by this many characters. */
const MAX_TEXT = 4_096;
const MAX_HASH = 256;

type RecordRow = { image_id: string; image_ref: string; last_updated_ms: number };
type CredentialRow = {
  image_id: string;
  trimmed_image: string;
  kind: string;
  namespace: string;
  name: string;
  uid: string;
  credential_hash: string;
};

export type LoadedIndex = { readonly index: MemoryIndex; readonly unreadable: readonly string[] };

/**
 * Reads the whole database into an index. An image with a row that makes no sense keeps its record (it is
 * tracked) without any credentials, so whoever asks for it is verified again; such images are returned by key.
 */
export function loadIndex(db: Database): LoadedIndex {
  // One snapshot, whatever another process commits meanwhile.
  return db.transaction(() => readIndex(db)).deferred();
}

function readIndex(db: Database): LoadedIndex {
  const index = new MemoryIndex();
  const unreadable = new Set<string>();

  for (const row of db.prepare<[], RecordRow>('SELECT * FROM pulled_records').iterate()) {
    const sound =
      imageIdKey(row.image_ref) === row.image_id &&
      row.image_ref.length <= MAX_TEXT &&
      Number.isSafeInteger(row.last_updated_ms);
    if (sound) index.rememberKey(row.image_ref, row.image_id);
    else unreadable.add(row.image_id);
    index.records.set(row.image_id, {
      imageRef: row.image_ref,
      lastUpdatedTime: row.last_updated_ms,
      credentialMapping: new Map(),
    });
  }

  for (const { imageId, trimmedImage, rows } of entriesOf(db)) {
    const record = index.records.get(imageId);
    const credentials = entryFromRows(rows);
    if (!record || !credentials || trimmedImage.length > MAX_TEXT) unreadable.add(imageId);
    else {
      const credentialMapping = new Map(record.credentialMapping).set(trimmedImage, credentials);
      index.records.set(imageId, { ...record, credentialMapping });
    }
  }

  for (const imageId of unreadable) {
    index.records.set(imageId, { imageRef: imageId, lastUpdatedTime: 0, credentialMapping: new Map() });
  }
  for (const image of db.prepare<[], string>('SELECT image FROM pull_intents').pluck().iterate()) {
    index.intents.set(image, 0);
  }
  type PreloadedRow = { image_id: string; repository: string };
  for (const row of db.prepare<[], PreloadedRow>('SELECT * FROM preloaded_images').iterate()) {
    index.addPreloaded(row.image_id, row.repository);
  }
  const takenAt = readMeta(db, 'inventoryTakenAt');
  if (takenAt !== undefined) index.inventoryTakenAt = Number(takenAt) || 0;
  return { index, unreadable: [...unreadable].sort() };
}

/** Puts the database in step with what loadIndex made of unreadable images: a record, no credentials. */
export function repairUnreadable(db: Database, imageIds: readonly string[]): void {
  const forgetCredentials = db.prepare('DELETE FROM pull_credentials WHERE image_id = ?');
  const keepRecord = db.prepare('INSERT OR REPLACE INTO pulled_records VALUES (?, ?, 0)');
  db.transaction(() => {
    for (const imageId of imageIds) {
      forgetCredentials.run(imageId);
      keepRecord.run(imageId, imageId);
    }
  }).immediate();
}

export function readMeta(db: Database, name: string): string | undefined {
  return db.prepare<[string], string>('SELECT value FROM meta WHERE name = ?').pluck().get(name);
}

export function writeMeta(db: Database, name: string, value: string): void {
  db.prepare('INSERT OR REPLACE INTO meta VALUES (?, ?)').run(name, value);
}

type EntryRows = { imageId: string; trimmedImage: string; rows: CredentialRow[] };

function* entriesOf(db: Database): Generator<EntryRows> {
  let entry: EntryRows | undefined;
  const sql = 'SELECT * FROM pull_credentials ORDER BY image_id, trimmed_image';
  for (const row of db.prepare<[], CredentialRow>(sql).iterate()) {
    if (entry?.imageId !== row.image_id || entry.trimmedImage !== row.trimmed_image) {
      if (entry) yield entry;
      entry = { imageId: row.image_id, trimmedImage: row.trimmed_image, rows: [] };
    }
    entry.rows.push(row);
  }
  if (entry) yield entry;
}

function entryFromRows(rows: readonly CredentialRow[]): ImagePullCredentials | undefined {
  const secrets: ImagePullSecret[] = [];
  const serviceAccounts: ImagePullServiceAccount[] = [];
  let nodePodsAccessible = false;
  for (const { kind, namespace, name, uid, credential_hash: credentialHash } of rows) {
    if (Math.max(namespace.length, name.length, uid.length) > MAX_TEXT) return undefined;
    if (kind === 'kubernetesSecret' && credentialHash.length <= MAX_HASH) {
      secrets.push({ namespace, name, uid, credentialHash });
    } else if (kind === 'kubernetesServiceAccount' && credentialHash === '') {
      serviceAccounts.push({ namespace, name, uid });
    } else if (kind === 'nodePodsAccessible' && namespace + name + uid + credentialHash === '') {
      nodePodsAccessible = true;
    } else {
      return undefined;
    }
  }
  if (nodePodsAccessible) return rows.length === 1 ? { nodePodsAccessible } : undefined;
  // SQLite orders by bytes, JavaScript by UTF-16 units; one order for both ways into the index.
  return entryOf(secrets.sort(byCoordinates), serviceAccounts.sort(byCoordinates));
}
