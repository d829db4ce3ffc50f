import type { Database } from 'better-sqlite3';
import { RecordStoreError } from '../../errors.ts';
import { emptyEntry, type RecordEntry } from '../entry.ts';
import { entryText } from '../entry-text.ts';
import { mergeCredentials } from '../merge.ts';
import { META } from '../meta.ts';
import { put, type RowChange } from '../rows.ts';
import type { ImagePullCredentials } from '../types.ts';

type CredentialRow = {
  image_id: string;
  trimmed_image: string;
  kind: string;
  namespace: string;
  name: string;
  uid: string;
  credential_hash: string;
};

/**
 * The rows of a database of schema version 1, which had no checks, as rows of version 2: they are believed
 * this once. What does not say what it should is left out. An inventory that is not there counts as lost:
 * such a database is opened for the first time at most once without one.
 *
 * @throws RecordStoreError `databaseCorrupt` where the key is not the one of these records
 */
export function adoptUnchecked(db: Database, keyCheck: string): readonly RowChange[] {
  const meta = new Map(db.prepare<[], [string, string]>('SELECT name, value FROM meta').raw().all());
  if (meta.get('keyCheck') !== keyCheck) {
    throw new RecordStoreError('databaseCorrupt', `${db.name} was not made with the key of this node`);
  }
  const records = db
    .prepare<[], [string, string, number]>('SELECT image_id, image_ref, last_updated_ms FROM pulled_records')
    .raw()
    .all();
  const entries = new Map<string, { key: [string, string]; entry: RecordEntry }>();
  const credentials = db.prepare<[], CredentialRow>('SELECT * FROM pull_credentials');
  for (const row of credentials.iterate()) {
    const key: [string, string] = [row.image_id, row.trimmed_image];
    const at = JSON.stringify(key);
    const known = entries.get(at)?.entry;
    const entry = mergeCredentials(known, credentialsOf(row)) ?? known ?? emptyEntry;
    entries.set(at, { key, entry });
  }
  const intents = db.prepare<[], string>('SELECT image FROM pull_intents').pluck().all();
  const preloaded = db
    .prepare<[], [string, string]>('SELECT image_id, repository FROM preloaded_images')
    .raw()
    .all();
  const files = [...meta.keys()].filter((name) => name.startsWith(META.unreadableFile));
  return [
    put('meta', [META.inventory], [meta.get('inventoryTakenAt') ?? '0']),
    ...files.map((name) => put('meta', [name], [''])),
    ...records.map(([imageId, ...rest]) => put('pulled_records', [imageId], rest)),
    ...[...entries.values()].map(({ key, entry }) => put('pull_entries', key, [entryText(entry)])),
    ...intents.map((image) => put('pull_intents', [image])),
    ...preloaded.map((key) => put('preloaded_images', key)),
  ];
}

function credentialsOf(row: CredentialRow): ImagePullCredentials {
  const { kind, namespace, name, uid, credential_hash: credentialHash } = row;
  if (kind === 'kubernetesSecret') return { kubernetesSecrets: [{ namespace, name, uid, credentialHash }] };
  if (kind === 'kubernetesServiceAccount') return { kubernetesServiceAccounts: [{ namespace, name, uid }] };
  const isForEveryone = kind === 'nodePodsAccessible' && namespace + name + uid + credentialHash === '';
  return isForEveryone ? { nodePodsAccessible: true } : {};
}
