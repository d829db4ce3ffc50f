import { ImageNameError, RecordStoreError } from '../errors.ts';
import { parseImageName, repositoryOf, trimImageName } from '../image/reference.ts';
import type { PresentImage } from './types.ts';

/** What an entry of a record goes by. @throws RecordStoreError `imageNameInvalid` */
export function trimmedName(image: string): string {
  try {
    return trimImageName(image);
  } catch (error) {
    if (error instanceof ImageNameError) throw imageNameInvalid(image, error.message);
    throw error;
  }
}

export function isImageName(name: string): boolean {
  try {
    trimImageName(name);
    return true;
  } catch (error) {
    if (error instanceof ImageNameError) return false;
    throw error;
  }
}

/** The repositories an image counts as preloaded under; an empty one for content without any name. */
export function repositoriesOf({ repoTags, repoDigests }: PresentImage): string[] {
  const repositories = new Set<string>();
  for (const name of [...repoTags, ...repoDigests]) {
    const repository = repositoryOf(name);
    if (repository !== undefined) repositories.add(repository);
  }
  return repositories.size > 0 ? [...repositories] : [''];
}

export function imageNameInvalid(image: string, why: string): RecordStoreError {
  return new RecordStoreError('imageNameInvalid', `invalid image name "${image.slice(0, 256)}": ${why}`);
}

/**
 * Two texts that mean the same image in the same place have the same key; what is no name is only like
 * itself.
 */
export function nameKey(name: string): string {
  try {
    const { repository, tag, digest } = parseImageName(name);
    return digest === '' ? `${repository}:${tag}` : `${repository}@${digest}`;
  } catch (error) {
    if (error instanceof ImageNameError) return name;
    throw error;
  }
}
