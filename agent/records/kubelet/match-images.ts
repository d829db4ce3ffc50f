import { ImageNameError } from '../../errors.ts';
import { imageIdKey } from '../../image/image-id.ts';
import { parseImageName, repositoryOf } from '../../image/reference.ts';
import type { RecordEntry } from '../entry.ts';
import { mergeCredentials } from '../merge.ts';
import type { ReadPullRecords, RecordChange } from '../pull-records.ts';
import type { ImagePulledRecord, PresentImage } from '../types.ts';

export type MatchPlan = { readonly matched: number; readonly changes: readonly RecordChange[] };

/**
 * Kubelet takes for the imageRef what the runtime returns from PullImage. CRI-O returned `repository@digest`
 * there until kubelet 1.36 asked ImageStatus instead (kuberuntime_image.go), while a container names the
 * image's id. Such a record is about the image of the node that has this digest, and becomes that image's.
 */
export function planMatches(
  records: ReadPullRecords,
  present: readonly PresentImage[],
  now: number,
): MatchPlan {
  const imageByName = new Map(
    present.flatMap((image) => image.repoDigests.map((name) => [nameKey(name), image])),
  );
  const changes: RecordChange[] = [];
  const merged = new Map<string, RecordEntry>();
  let matched = 0;
  for (const recordId of records.recordIds()) {
    const image = recordId.includes('@') ? imageByName.get(nameKey(recordId)) : undefined;
    const record = image && records.record(recordId);
    if (!image || !record) continue;
    matched += 1;
    const imageId = imageIdKey(image.id);
    const lastUpdatedTime = Math.min(
      now,
      Math.max(record.lastUpdatedTime, records.record(image.id)?.lastUpdatedTime ?? 0),
    );
    changes.push({ change: 'record', imageId, imageRef: image.id, lastUpdatedTime });
    for (const trimmedImage of record.credentialMapping.keys()) {
      const key = `${imageId} ${trimmedImage}`;
      const added = records.entry(recordId, trimmedImage);
      const entry = added && together(merged.get(key) ?? records.entry(image.id, trimmedImage), added);
      if (!entry) continue;
      merged.set(key, entry);
      changes.push({ change: 'entry', imageId, trimmedImage, entry });
    }
    changes.push(...noLongerPreloaded(records, image.id, imageId, record), {
      change: 'recordGone',
      imageId: recordId,
    });
  }
  return { matched, changes };
}

/**
 * Whoever either entry names, one kind after the other: kubelet's merge drops service accounts that come
 * with secrets.
 */
function together(known: RecordEntry | undefined, { credentials }: RecordEntry): RecordEntry | undefined {
  const { kubernetesServiceAccounts, ...others } = credentials;
  const withOthers = mergeCredentials(known, others) ?? known;
  if (!kubernetesServiceAccounts) return withOthers;
  return mergeCredentials(withOthers, { kubernetesServiceAccounts }) ?? withOthers;
}

/** Somebody pulled it under these names; under any, where the record names nobody. */
function noLongerPreloaded(
  records: ReadPullRecords,
  imageRef: string,
  imageId: string,
  record: ImagePulledRecord,
): readonly RecordChange[] {
  const pulledAs = new Set(Array.from(record.credentialMapping.keys(), (name) => repositoryOf(name)));
  const repositories = [...records.preloadedRepositories(imageRef)];
  return repositories
    .filter((repository) => pulledAs.size === 0 || pulledAs.has(repository))
    .map((repository) => ({ change: 'preloaded', imageId, repository, is: false }));
}

function nameKey(name: string): string {
  try {
    const { repository, digest } = parseImageName(name);
    return `${repository}@${digest}`;
  } catch (error) {
    if (error instanceof ImageNameError) return name;
    throw error;
  }
}
