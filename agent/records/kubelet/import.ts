import type { Database } from 'better-sqlite3';
import { repositoryOf } from '../../image/reference.ts';
import { isOneOf } from '../inventory.ts';
import { type CredentialMerge, mergeCredentials } from '../merge.ts';
import { writeMeta } from '../sqlite/load.ts';
import type { MemoryIndex } from '../sqlite/memory-index.ts';
import { putEntry, type Statements } from '../sqlite/statements.ts';
import type { ImagePullCredentials, ImagePulledRecord, ImagePullSecret } from '../types.ts';
import { kubeletFileName } from './format.ts';

/** Some of kubelet's files, read. Hashes are keyed. */
export type ImportBatch = {
  readonly records: readonly ImagePulledRecord[];
  /** Images of intents. */
  readonly intents: readonly string[];
  /** Names (`sha256-…`) of record files that could not be read. */
  readonly unreadableFiles: readonly string[];
};

/** For each record and intent of the batch, in order: did it bring anything new? */
export type ImportOutcome = { readonly records: readonly boolean[]; readonly intents: readonly boolean[] };

type ImportPlan = { readonly outcome: ImportOutcome; readonly apply: (index: MemoryIndex) => void };

const UNREADABLE = 'kubeletFileUnreadable:';

/**
 * Merges kubelet's records into the database, in the transaction that is open, and says how the index changes with it.
 *
 * An import only ever adds to what is verified. Content with a record was pulled, so under that name it is not
 * preloaded, whatever the inventory says (under any name, where the record names nobody or its file cannot be read:
 * kubelet, too, verifies then). An intent is taken over as one that a killed agent left: at its next start the image,
 * where the runtime has it, gets a record without credentials, as kubelet does at its own start.
 */
export function planImport(
  db: Database,
  sql: Statements,
  index: MemoryIndex,
  batch: ImportBatch,
  now: number,
): ImportPlan {
  const changed = new Map<string, ImagePulledRecord>();
  const tracked: TrackedName[] = [];
  const records = batch.records.map((imported) => {
    const key = index.keyOf(imported.imageRef);
    forgetUnreadable(db, kubeletFileName(imported.imageRef));
    tracked.push(...trackedNames(index, key, imported));
    const merged = mergeRecord(changed.get(key) ?? index.records.get(key), imported, now);
    if (!merged) return false;
    sql.putRecord.run(key, merged.record.imageRef, merged.record.lastUpdatedTime);
    for (const [trimmedImage, merge] of merged.merges) putEntry(sql, key, trimmedImage, merge);
    changed.set(key, merged.record);
    return true;
  });
  const known = new Set(index.intents.keys());
  const intents = batch.intents.map((image) => {
    if (known.has(image)) return false;
    known.add(image);
    sql.putIntent.run(image);
    return true;
  });
  const unreadable = new Set(batch.unreadableFiles);
  if (index.inventoryTakenAt === undefined)
    for (const file of unreadable) writeMeta(db, UNREADABLE + file, '');
  for (const key of index.preloaded.keys()) {
    if (isOneOf(unreadable, key)) tracked.push({ key, repository: undefined });
  }
  for (const { key, repository } of tracked) {
    if (repository === undefined) sql.deletePreloaded.run(key);
    else sql.deletePreloadedName.run(key, repository);
  }
  return {
    outcome: { records, intents },
    apply(current) {
      for (const [key, record] of changed) current.records.set(key, record);
      for (const image of batch.intents) current.intents.set(image, current.intents.get(image) ?? 0);
      for (const { key, repository } of tracked) {
        if (repository === undefined) current.preloaded.delete(key);
        else current.preloaded.get(key)?.delete(repository);
      }
    },
  };
}

/** Record files that an import could not read; content that they are named after must not count as preloaded. */
export function unreadableFiles(db: Database): ReadonlySet<string> {
  const names = db.prepare<[string], string>('SELECT name FROM meta WHERE name GLOB ?').pluck();
  return new Set(names.all(`${UNREADABLE}*`).map((name) => name.slice(UNREADABLE.length)));
}

function forgetUnreadable(db: Database, file: string): void {
  db.prepare<[string]>('DELETE FROM meta WHERE name = ?').run(UNREADABLE + file);
}

/** `repository` undefined: under whatever name. */
type TrackedName = { readonly key: string; readonly repository: string | undefined };

function trackedNames(index: MemoryIndex, key: string, imported: ImagePulledRecord): TrackedName[] {
  if (!index.preloaded.has(key)) return [];
  const names = [...imported.credentialMapping.keys()];
  return names.length === 0
    ? [{ key, repository: undefined }]
    : names.map((name) => ({ key, repository: repositoryOf(name) }));
}

type MergedRecord = {
  readonly record: ImagePulledRecord;
  readonly merges: readonly (readonly [trimmedImage: string, merge: CredentialMerge])[];
};

/** Undefined when the record is there and holds all that was imported. */
function mergeRecord(
  known: ImagePulledRecord | undefined,
  imported: ImagePulledRecord,
  now: number,
): MergedRecord | undefined {
  // A time that is yet to come would keep the record from ever being pruned.
  const importedTime = Math.min(imported.lastUpdatedTime, now);
  const isNewer = importedTime > (known?.lastUpdatedTime ?? -1);
  const credentialMapping = new Map(known?.credentialMapping);
  const merges: [string, CredentialMerge][] = [];
  for (const [trimmedImage, entry] of imported.credentialMapping) {
    for (const part of partsOf(entry)) {
      const before = credentialMapping.get(trimmedImage);
      const merge = mergeCredentials(
        before,
        isNewer ? knownHashesKept(before, part) : unknownOnly(before, part),
      );
      if (!merge) continue;
      credentialMapping.set(trimmedImage, merge.credentials);
      merges.push([trimmedImage, merge]);
    }
  }
  if (known && merges.length === 0) return undefined;
  return {
    record: {
      imageRef: known?.imageRef ?? imported.imageRef,
      lastUpdatedTime: isNewer ? importedTime : (known?.lastUpdatedTime ?? importedTime),
      credentialMapping,
    },
    merges,
  };
}

/** Kubelet's merge leaves out service accounts that come together with secrets; one after the other, none is lost. */
function partsOf({ kubernetesSecrets, kubernetesServiceAccounts, nodePodsAccessible }: ImagePullCredentials) {
  const parts: ImagePullCredentials[] = [];
  if (nodePodsAccessible) parts.push({ nodePodsAccessible });
  if (kubernetesSecrets) parts.push({ kubernetesSecrets });
  if (kubernetesServiceAccounts) parts.push({ kubernetesServiceAccounts });
  return parts;
}

/** From a newer file: its hashes win, but one that it does not know takes none away. */
function knownHashesKept(
  known: ImagePullCredentials | undefined,
  added: ImagePullCredentials,
): ImagePullCredentials {
  return withSecrets(added, (secret) => secret.credentialHash !== '' || !hashOf(known, secret));
}

/** From an older file: only hashes that are not known here. */
function unknownOnly(
  known: ImagePullCredentials | undefined,
  added: ImagePullCredentials,
): ImagePullCredentials {
  return withSecrets(added, (secret) => !hashOf(known, secret));
}

function withSecrets(
  credentials: ImagePullCredentials,
  keep: (secret: ImagePullSecret) => boolean,
): ImagePullCredentials {
  const secrets = credentials.kubernetesSecrets;
  return secrets ? { ...credentials, kubernetesSecrets: secrets.filter(keep) } : credentials;
}

/** The hash on record of the secret with these coordinates; empty or undefined when none is known. */
function hashOf(
  known: ImagePullCredentials | undefined,
  { namespace, name, uid }: ImagePullSecret,
): string | undefined {
  return known?.kubernetesSecrets?.find(
    (secret) => secret.uid === uid && secret.name === name && secret.namespace === namespace,
  )?.credentialHash;
}
