import { imageIdKey } from '../image/image-id.ts';
import { repositoryOf } from '../image/reference.ts';
import { type RecordEntry, withoutGrantees } from './entry.ts';
import { mergeCredentials } from './merge.ts';
import type { ReadPullRecords, RecordChange } from './pull-records.ts';
import type { Grantee, ImagePullCredentials, ImagePulledRecord } from './types.ts';

/** What a grant, a revocation and forgetting change in the records; nothing is written here. */

type Place = { readonly imageRef: string; readonly trimmedImage: string; readonly now: number };

export function mergeChanges(
  records: ReadPullRecords,
  { imageRef, trimmedImage, now }: Place,
  added: { readonly credentials: ImagePullCredentials; readonly verifiedAt?: number },
): readonly RecordChange[] {
  const imageId = imageIdKey(imageRef);
  const record = records.record(imageRef);
  const before = records.entry(imageRef, trimmedImage);
  const entry = mergeCredentials(before, added.credentials, added.verifiedAt);
  // The record alone says that the content was pulled by somebody (kubelet's writePulledRecordIfChanged).
  if (!entry) return record ? [] : [emptyRecord(imageRef, now)];
  const toEntry: RecordChange = { change: 'entry', imageId, trimmedImage, entry };
  // Kubelet's time tells when who may use it changed, not when it was last asked.
  const isOnlyTime =
    record !== undefined && before !== undefined && !mergeCredentials(before, added.credentials);
  if (isOnlyTime) return [toEntry];
  return [
    { change: 'record', imageId, imageRef: record?.imageRef ?? imageRef, lastUpdatedTime: now },
    toEntry,
  ];
}

export function removalChanges(
  record: ImagePulledRecord,
  trimmedImage: string,
  entry: RecordEntry,
  now: number,
  leaves: (grantee: Grantee) => boolean,
): readonly RecordChange[] {
  const left = withoutGrantees(entry, leaves);
  if (left === entry) return [];
  const imageId = imageIdKey(record.imageRef);
  return [
    { change: 'entry', imageId, trimmedImage, entry: left },
    { change: 'record', imageId, imageRef: record.imageRef, lastUpdatedTime: now },
  ];
}

export function forgetImage(records: ReadPullRecords, imageRef: string): readonly RecordChange[] {
  const imageId = imageIdKey(imageRef);
  const record = records.record(imageRef);
  const changes: RecordChange[] = [...preloadedGone(records, imageId)];
  if (!record) return changes;
  changes.push({ change: 'recordGone', imageId });
  // Without an inventory content without a record counts as preloaded: an empty record stays, it allows
  // nobody.
  if (records.inventoryTakenAt() === undefined)
    changes.push(emptyRecord(record.imageRef, record.lastUpdatedTime));
  return changes;
}

export function forgetName(
  records: ReadPullRecords,
  imageRef: string,
  trimmedImage: string,
  now: number,
): readonly RecordChange[] {
  const imageId = imageIdKey(imageRef);
  const record = records.record(imageRef);
  const repository = repositoryOf(trimmedImage);
  const changes: RecordChange[] = [];
  if (record && records.entry(imageRef, trimmedImage)) {
    changes.push({ change: 'entry', imageId, trimmedImage, entry: undefined });
    changes.push({ change: 'record', imageId, imageRef: record.imageRef, lastUpdatedTime: now });
  }
  if (repository !== undefined && records.isPreloaded(imageRef, repository)) {
    changes.push({ change: 'preloaded', imageId, repository, is: false });
  }
  return changes;
}

export function preloadedGone(records: ReadPullRecords, imageId: string): readonly RecordChange[] {
  return Array.from(records.preloadedRepositories(imageId), (repository) => ({
    change: 'preloaded',
    imageId,
    repository,
    is: false,
  }));
}

export function emptyRecord(imageRef: string, now: number): RecordChange {
  return { change: 'record', imageId: imageIdKey(imageRef), imageRef, lastUpdatedTime: now };
}
