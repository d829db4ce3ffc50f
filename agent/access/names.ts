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
  /** What to pull, best first: `repository@digest` of the very content, or a tag where the runtime holds no digest. */
  readonly pulls: readonly string[];
  /** What to pull when the registry says it has no such digest; undefined where no tag is known. */
  readonly tag: string | undefined;
};

export type NamesOfContent =
  /** The content goes by the repository that the pod's spec names. */
  | { readonly kind: 'spec'; readonly name: Name }
  /** It does not (the spec was changed, or named the image by its id): the names that the runtime does list. */
  | { readonly kind: 'others'; readonly names: readonly Name[] }
  | { readonly kind: 'invalid'; readonly message: string };

const MAX_DIGESTS = 5;
const MAX_OTHER_NAMES = 10;

/**
 * Under which names the content in use may be verified. The runtime's list of names is about the content; the spec
 * is only what the pod asked for, and may have been edited since the container was created.
 */
export function namesOfContent(specImage: string, listed: ListedNames): NamesOfContent {
  const byRepository = groupByRepository(listed);
  if (!isImageId(specImage)) {
    try {
      const { repository, tag: specTag, digest } = parseImageName(specImage);
      const found = byRepository.get(repository);
      if (found) {
        const digests = prefer(found.digests, digest && `${repository}@${digest}`);
        const tag = digest === '' ? specImage : found.tags[0];
        // The spec may have been edited to a tag that is not on the node, and what is absent must not be pulled.
        const tagged = found.tags.includes(`${repository}:${specTag}`) ? [specImage] : found.tags.slice(0, 1);
        return {
          kind: 'spec',
          name: { image: specImage, repository, pulls: digests.length > 0 ? digests : tagged, tag },
        };
      }
    } catch (error) {
      if (error instanceof ImageNameError) return { kind: 'invalid', message: error.message };
      throw error;
    }
  }
  const names = [...byRepository].slice(0, MAX_OTHER_NAMES).map(([repository, { digests, tags }]) => ({
    image: tags[0] ?? digests[0] ?? repository,
    repository,
    pulls: digests.length > 0 ? digests.slice(0, MAX_DIGESTS) : tags.slice(0, 1),
    tag: tags[0],
  }));
  return { kind: 'others', names };
}

function groupByRepository(listed: ListedNames): Map<string, { digests: string[]; tags: string[] }> {
  const groups = new Map<string, { digests: string[]; tags: string[] }>();
  const groupOf = (name: string): { digests: string[]; tags: string[] } | undefined => {
    const repository = repositoryOf(name);
    if (repository === undefined) return undefined;
    const group = groups.get(repository) ?? { digests: [], tags: [] };
    groups.set(repository, group);
    return group;
  };
  for (const name of listed.repoDigests) groupOf(name)?.digests.push(name);
  for (const name of listed.repoTags) groupOf(name)?.tags.push(name);
  return groups;
}

/** The wanted one first, and never more than a registry should be bothered with. */
function prefer(digests: readonly string[], wanted: string): string[] {
  const rest = digests.filter((digest) => digest !== wanted);
  return (rest.length < digests.length ? [wanted, ...rest] : rest).slice(0, MAX_DIGESTS);
}
