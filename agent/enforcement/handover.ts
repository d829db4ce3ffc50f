import { LRUCache } from 'lru-cache';
import { RuntimeError } from '../errors.ts';
import { imageIdKey } from '../image/image-id.ts';
import type { MountedImage } from '../runtime/runtime.ts';

/** The contents of a container's images, by image id; empty where one is not known. */
export type Contents = {
  readonly own: string;
  /** By the name that the image volume is asked for by. */
  readonly volumes: readonly { readonly image: string; readonly imageRef: string }[];
};

/** What a container that exists uses. */
export type ContainerInUse = {
  readonly id: string;
  readonly imageRef: string;
  /**
   * Asked only when the veto judged image volumes.
   *
   * @throws RuntimeError
   */
  mountedImages(): Promise<readonly MountedImage[]>;
};

/**
 * Who judges a container. The veto judges before it exists, by what its images' names mean then; the guard
 * sees it afterwards, with the contents that it really uses. Each container is the veto's when it
 * says so first and the contents are the same, otherwise the guard's: one of them judges and reports it. What
 * the veto has reported by the time that the guard finds other contents, the guard reports anew.
 */
export type Handover = {
  /**
   * The veto lets this container be created and has a final verdict on just these contents. False when the
   * guard has claimed it already: then the guard judges and reports.
   */
  judgedByVeto(containerId: string, judged: Contents): boolean;
  /** The guard has seen this container. The claim counts from the moment of the call. */
  claimForGuard(container: ContainerInUse): Promise<'judgedByVeto' | 'guardJudges'>;
  /** Is it the guard that judges this container, and reports it? */
  isWithGuard(containerId: string): boolean;
};

/** Far more than start on one node between a question and the first look; beyond it the guard judges. */
const MAX_REMEMBERED = 10_000;

export function createHandover(): Handover {
  const claims = new LRUCache<string, Contents | 'guard'>({ max: MAX_REMEMBERED });
  return {
    judgedByVeto(containerId, judged) {
      if (claims.get(containerId) === 'guard') return false;
      claims.set(containerId, judged);
      return true;
    },
    async claimForGuard(container) {
      const claim = claims.get(container.id);
      if (claim === undefined) claims.set(container.id, 'guard');
      if (claim === undefined || claim === 'guard') return 'guardJudges';
      if (await usesJust(claim, container)) return 'judgedByVeto';
      claims.set(container.id, 'guard');
      return 'guardJudges';
    },
    isWithGuard: (containerId) => claims.get(containerId) === 'guard',
  };
}

async function usesJust(judged: Contents, container: ContainerInUse): Promise<boolean> {
  if (!isSameImage(judged.own, container.imageRef)) return false;
  if (judged.volumes.length === 0) return true;
  try {
    return mountsJust(judged.volumes, await container.mountedImages());
  } catch (error) {
    if (error instanceof RuntimeError) return false;
    throw error;
  }
}

/** Each volume is mounted with the content that was judged, and nothing else is mounted. */
function mountsJust(judged: Contents['volumes'], mounted: readonly MountedImage[]): boolean {
  const isJudged = (mount: MountedImage) =>
    judged.some(({ image, imageRef }) => image === mount.image && isSameImage(imageRef, mount.imageRef));
  const isMounted = ({ image }: { readonly image: string }) => mounted.some((mount) => mount.image === image);
  return mounted.every(isJudged) && judged.every(isMounted);
}

function isSameImage(one: string, other: string): boolean {
  return one !== '' && imageIdKey(one) === imageIdKey(other);
}
