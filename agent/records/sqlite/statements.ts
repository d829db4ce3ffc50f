import type { Database } from 'better-sqlite3';
import type { CredentialMerge } from '../merge.ts';

export type Statements = ReturnType<typeof prepareStatements>;

/** Every statement of the store, prepared once: each touches the rows of one image and no others. */
export function prepareStatements(db: Database) {
  return {
    begin: db.prepare('BEGIN IMMEDIATE'),
    commit: db.prepare('COMMIT'),
    rollback: db.prepare('ROLLBACK'),
    dataVersion: db.prepare<[], number>('PRAGMA data_version').pluck(),

    putIntent: db.prepare<[image: string]>('INSERT OR IGNORE INTO pull_intents VALUES (?)'),
    deleteIntent: db.prepare<[image: string]>('DELETE FROM pull_intents WHERE image = ?'),

    putRecord: db.prepare<[imageId: string, imageRef: string, now: number]>(
      `INSERT INTO pulled_records VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET last_updated_ms = excluded.last_updated_ms`,
    ),
    deleteRecord: db.prepare<[imageId: string]>('DELETE FROM pulled_records WHERE image_id = ?'),

    putCredential: db.prepare<
      [
        imageId: string,
        trimmed: string,
        kind: string,
        namespace: string,
        name: string,
        uid: string,
        hash: string,
      ]
    >('INSERT OR REPLACE INTO pull_credentials VALUES (?, ?, ?, ?, ?, ?, ?)'),
    deleteSecret: db.prepare<
      [imageId: string, trimmed: string, namespace: string, name: string, uid: string]
    >(
      `DELETE FROM pull_credentials
       WHERE image_id = ? AND trimmed_image = ? AND kind = 'kubernetesSecret'
         AND namespace = ? AND name = ? AND uid = ?`,
    ),
    deleteEntry: db.prepare<[imageId: string, trimmed: string]>(
      'DELETE FROM pull_credentials WHERE image_id = ? AND trimmed_image = ?',
    ),
    deleteEntries: db.prepare<[imageId: string]>('DELETE FROM pull_credentials WHERE image_id = ?'),

    putPreloaded: db.prepare<[imageId: string, repository: string]>(
      'INSERT OR IGNORE INTO preloaded_images VALUES (?, ?)',
    ),
    deletePreloaded: db.prepare<[imageId: string]>('DELETE FROM preloaded_images WHERE image_id = ?'),
    deletePreloadedName: db.prepare<[imageId: string, repository: string]>(
      'DELETE FROM preloaded_images WHERE image_id = ? AND repository = ?',
    ),
  };
}

/** Writes what a merge changes of one entry. */
export function putEntry(
  sql: Statements,
  imageId: string,
  trimmedImage: string,
  merge: CredentialMerge,
): void {
  if (merge.nodePodsAccessible) {
    sql.deleteEntry.run(imageId, trimmedImage);
    sql.putCredential.run(imageId, trimmedImage, 'nodePodsAccessible', '', '', '', '');
  }
  for (const { namespace, name, uid, credentialHash } of merge.secrets) {
    sql.putCredential.run(imageId, trimmedImage, 'kubernetesSecret', namespace, name, uid, credentialHash);
  }
  for (const { namespace, name, uid } of merge.serviceAccounts) {
    sql.putCredential.run(imageId, trimmedImage, 'kubernetesServiceAccount', namespace, name, uid, '');
  }
}
