import { imageIdKey } from '../image/image-id.ts';
import { nameKey, repositoriesOf } from './image-names.ts';
import { kubeletFileName } from './kubelet/format.ts';
import type { ReadPullRecords } from './pull-records.ts';
import type { PresentImage } from './types.ts';

type PreloadedName = readonly [imageId: string, repository: string];

/**
 * What of the images on the node counts as preloaded: all but what is known to have been pulled. That is
 * known of nothing on a new node; after kubelet's records were imported, it is kubelet's own rule: content
 * with a record, or with a record file that could not be read, is tracked, and so is a name with an unsettled
 * intent.
 */
export function preloadedNames(
  records: ReadPullRecords,
  present: readonly PresentImage[],
): readonly PreloadedName[] {
  const pulling = new Set(Array.from(records.intents(), nameKey));
  const unreadable = records.unreadableFiles();
  return present.flatMap((image) => {
    if (records.record(image.id) || isOneOf(unreadable, image)) return [];
    const repoTags = image.repoTags.filter((name) => !pulling.has(nameKey(name)));
    const repoDigests = image.repoDigests.filter((name) => !pulling.has(nameKey(name)));
    const hadNames = image.repoTags.length + image.repoDigests.length > 0;
    if (hadNames && repoTags.length + repoDigests.length === 0) return [];
    return repositoriesOf({ id: image.id, repoTags, repoDigests }).map(
      (repository): PreloadedName => [imageIdKey(image.id), repository],
    );
  });
}

/**
 * Are these files' names kubelet's for this image, by its id in either way of writing it or by repository
 * and digest?
 */
function isOneOf(files: ReadonlySet<string>, { id, repoDigests }: PresentImage): boolean {
  if (files.size === 0) return false;
  return hasFileOf(files, imageIdKey(id)) || repoDigests.some((name) => files.has(kubeletFileName(name)));
}

/** Are these files' names kubelet's for this image id, in either way of writing it? */
export function hasFileOf(files: ReadonlySet<string>, imageId: string): boolean {
  if (files.size === 0) return false;
  return files.has(kubeletFileName(imageId)) || files.has(kubeletFileName(`sha256:${imageId}`));
}
