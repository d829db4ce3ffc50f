import { imageIdKey } from '../../image/image-id.ts';
import { repositoryOf } from '../../image/reference.ts';
import type { RecordEntry } from '../entry.ts';
import { hasFileOf } from '../inventory.ts';
import { mergeCredentials } from '../merge.ts';
import type { ReadPullRecords, RecordChange } from '../pull-records.ts';
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

type ImportPlan = { readonly outcome: ImportOutcome; readonly changes: readonly RecordChange[] };

/**
 * What kubelet's records change in ours.
 *
 * An import only ever adds to what is verified. Content with a record was pulled, so under that name it is
 * not preloaded, whatever the inventory says (under any name, where the record names nobody or its file
 * cannot be read: kubelet, too, verifies then). An intent is taken over as one that a killed agent left: at
 * its next start the image, where the runtime has it, gets a record without credentials, as kubelet does at
 * its own start.
 */
export function planImport(records: ReadPullRecords, batch: ImportBatch, now: number): ImportPlan {
  const changes: RecordChange[] = [];
  const changed = new Map<string, MergedRecord>();
  const importedRecords = batch.records.map((imported) => {
    const imageId = imageIdKey(imported.imageRef);
    changes.push({ change: 'unreadableFile', file: kubeletFileName(imported.imageRef), exists: false });
    changes.push(...noLongerPreloaded(records, imageId, imported));
    const merged = mergeRecord(changed.get(imageId) ?? knownRecord(records, imageId), imported, now);
    if (!merged) return false;
    changed.set(imageId, merged);
    return true;
  });
  for (const [imageId, { imageRef, lastUpdatedTime, entries }] of changed) {
    changes.push({ change: 'record', imageId, imageRef, lastUpdatedTime });
    for (const [trimmedImage, entry] of entries)
      changes.push({ change: 'entry', imageId, trimmedImage, entry });
  }
  const known = new Set(records.intents());
  const intents = batch.intents.map((image) => {
    if (known.has(image)) return false;
    known.add(image);
    changes.push({ change: 'intent', image, exists: true });
    return true;
  });
  const unreadable = new Set(batch.unreadableFiles);
  if (records.inventoryTakenAt() === undefined) {
    for (const file of unreadable) changes.push({ change: 'unreadableFile', file, exists: true });
  }
  for (const imageId of records.preloadedIds()) {
    if (hasFileOf(unreadable, imageId)) changes.push(...noLongerPreloaded(records, imageId, undefined));
  }
  return { outcome: { records: importedRecords, intents }, changes };
}

/** Under the names of the record; without one, or where it names nobody, under any. */
function noLongerPreloaded(
  records: ReadPullRecords,
  imageId: string,
  imported: ImagePulledRecord | undefined,
): readonly RecordChange[] {
  const names = [...(imported?.credentialMapping.keys() ?? [])];
  const pulledAs = new Set(names.map((name) => repositoryOf(name)));
  return [...records.preloadedRepositories(imageId)]
    .filter((repository) => names.length === 0 || pulledAs.has(repository))
    .map((repository) => ({ change: 'preloaded', imageId, repository, is: false }));
}

type MergedRecord = {
  readonly imageRef: string;
  readonly lastUpdatedTime: number;
  /** Those that the import changes. */
  readonly entries: ReadonlyMap<string, RecordEntry>;
  /** An entry as it is known so far. */
  readonly entryOf: (trimmedImage: string) => RecordEntry | undefined;
};

function knownRecord(records: ReadPullRecords, imageId: string): MergedRecord | undefined {
  const record = records.record(imageId);
  return (
    record && {
      imageRef: record.imageRef,
      lastUpdatedTime: record.lastUpdatedTime,
      entries: new Map(),
      entryOf: (trimmedImage) => records.entry(imageId, trimmedImage),
    }
  );
}

/** Undefined when the record is there and holds all that was imported. */
function mergeRecord(
  known: MergedRecord | undefined,
  imported: ImagePulledRecord,
  now: number,
): MergedRecord | undefined {
  // A time that is yet to come would keep the record from ever being pruned.
  const importedTime = Math.min(imported.lastUpdatedTime, now);
  const isNewer = importedTime > (known?.lastUpdatedTime ?? -1);
  const entries = new Map(known?.entries);
  const entryOf = (trimmedImage: string) => entries.get(trimmedImage) ?? known?.entryOf(trimmedImage);
  let merges = 0;
  for (const [trimmedImage, added] of imported.credentialMapping) {
    for (const part of partsOf(added)) {
      const before = entryOf(trimmedImage);
      const wanted = isNewer
        ? knownHashesKept(before?.credentials, part)
        : unknownOnly(before?.credentials, part);
      const entry = mergeCredentials(before, wanted);
      if (!entry) continue;
      entries.set(trimmedImage, entry);
      merges += 1;
    }
  }
  if (known && merges === 0) return undefined;
  return {
    imageRef: known?.imageRef ?? imported.imageRef,
    lastUpdatedTime: isNewer ? importedTime : (known?.lastUpdatedTime ?? importedTime),
    entries,
    entryOf,
  };
}

/**
 * Kubelet's merge leaves out service accounts that come together with secrets; one after the other, none is
 * lost.
 */
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
