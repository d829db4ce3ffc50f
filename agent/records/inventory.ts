import { ImageNameError } from '../errors.ts';
import { parseImageName } from '../image/reference.ts';
import { repositoriesOf } from './image-names.ts';
import { kubeletFileName } from './kubelet/format.ts';
import type { MemoryIndex } from './sqlite/memory-index.ts';
import type { PresentImage } from './types.ts';

type PreloadedName = readonly [imageId: string, repository: string];

/**
 * What of the images on the node counts as preloaded: all but what is known to have been pulled. That is known of
 * nothing on a new node; after kubelet's records were imported, it is kubelet's own rule: content with a record, or
 * with a record file that could not be read, is tracked, and so is a name with an unsettled intent.
 */
export function inventoryOf(
  index: MemoryIndex,
  present: readonly PresentImage[],
  unreadableFiles: ReadonlySet<string>,
): readonly PreloadedName[] {
  const pulling = new Set([...index.intents.keys()].map(nameKey));
  return present.flatMap((image) => {
    const key = index.keyOf(image.id);
    if (index.records.has(key) || isOneOf(unreadableFiles, key)) return [];
    const repoTags = image.repoTags.filter((name) => !pulling.has(nameKey(name)));
    const repoDigests = image.repoDigests.filter((name) => !pulling.has(nameKey(name)));
    const hadNames = image.repoTags.length + image.repoDigests.length > 0;
    if (hadNames && repoTags.length + repoDigests.length === 0) return [];
    return repositoriesOf({ id: image.id, repoTags, repoDigests }).map(
      (repository): PreloadedName => [key, repository],
    );
  });
}

/** Are these files' names kubelet's for this image id, in either way of writing it? */
export function isOneOf(files: ReadonlySet<string>, imageId: string): boolean {
  if (files.size === 0) return false;
  return files.has(kubeletFileName(imageId)) || files.has(kubeletFileName(`sha256:${imageId}`));
}

/** Two texts that mean the same image in the same place have the same key; what is no name is only like itself. */
function nameKey(name: string): string {
  try {
    const { repository, tag, digest } = parseImageName(name);
    return digest === '' ? `${repository}:${tag}` : `${repository}@${digest}`;
  } catch (error) {
    if (error instanceof ImageNameError) return name;
    throw error;
  }
}
