import { ImageNameError } from '../errors.ts';
import { isImageId } from '../image/image-id.ts';
import { parseImageName, repositoryOf } from '../image/reference.ts';

/** An image as the runtime lists it: the names its content goes by. */
export type ListedNames = { readonly repoTags: readonly string[]; readonly repoDigests: readonly string[] };

/** A name under which a pod may prove its right to some content. */
export type Name = {
  /** What records are keyed by once trimmed, and what pull intents are counted by. */
  readonly image: string;
  readonly repository: string;
  /**
   * Manifest digests of the very content at this repository, best first; none where the runtime knows none.
   */
  readonly digests: readonly string[];
  /**
   * The tag that the registry is asked about where it does not know the digests; undefined where none is
   * known.
   */
  readonly tag: string | undefined;
};

export type NamesOfContent =
  /** The content goes by the repository that the pod's spec names. */
  | { readonly kind: 'spec'; readonly name: Name }
  /**
   * It does not (the spec was changed, or named the image by its id): the names that the runtime does list.
   */
  | { readonly kind: 'others'; readonly names: readonly Name[] }
  | { readonly kind: 'invalid'; readonly message: string };

const MAX_DIGESTS = 5;
const MAX_OTHER_NAMES = 10;

/**
 * Under which names the content in use may be verified. The runtime's list of names is about the content; the
 * spec is only what the pod asked for, and may have been edited since the container was created.
 */
export function namesOfContent(specImage: string, listed: ListedNames): NamesOfContent {
  const byRepository = groupByRepository(listed);
  if (!isImageId(specImage)) {
    try {
      const { repository, tag: specTag, digest } = parseImageName(specImage);
      const found = byRepository.get(repository);
      if (found) {
        const digests = prefer(found.digests, digest);
        const tag = digest === '' ? specTag : found.tags[0];
        return { kind: 'spec', name: { image: specImage, repository, digests, tag } };
      }
    } catch (error) {
      if (error instanceof ImageNameError) return { kind: 'invalid', message: error.message };
      throw error;
    }
  }
  const names = [...byRepository].slice(0, MAX_OTHER_NAMES).map(([repository, { digests, tags }]) => {
    const [digest] = digests;
    const [tag] = tags;
    const named = tag === undefined ? digest && `${repository}@${digest}` : `${repository}:${tag}`;
    return { image: named ?? repository, repository, digests: digests.slice(0, MAX_DIGESTS), tag };
  });
  return { kind: 'others', names };
}

/** The content under this repository; undefined where the runtime does not list it there. */
export function nameAt(repository: string, listed: ListedNames): Name | undefined {
  const names = namesOfContent(repository, listed);
  return names.kind === 'spec' ? names.name : undefined;
}

type Names = { readonly digests: string[]; readonly tags: string[] };

function groupByRepository(listed: ListedNames): Map<string, Names> {
  const groups = new Map<string, Names>();
  const groupOf = (repository: string): Names => {
    const group = groups.get(repository) ?? { digests: [], tags: [] };
    groups.set(repository, group);
    return group;
  };
  for (const name of listed.repoDigests) {
    const repository = repositoryOf(name);
    const at = name.lastIndexOf('@');
    if (repository !== undefined && at !== -1) groupOf(repository).digests.push(name.slice(at + 1));
  }
  for (const name of listed.repoTags) {
    const repository = repositoryOf(name);
    const at = name.lastIndexOf(':');
    if (repository !== undefined && at !== -1) groupOf(repository).tags.push(name.slice(at + 1));
  }
  return groups;
}

/** The wanted one first, and never more than a registry should be bothered with. */
function prefer(digests: readonly string[], wanted: string): string[] {
  const rest = digests.filter((digest) => digest !== wanted);
  return (rest.length < digests.length ? [wanted, ...rest] : rest).slice(0, MAX_DIGESTS);
}
