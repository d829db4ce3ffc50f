import { ImageNameError } from '../errors.ts';
import { trimImageName } from '../image/reference.ts';
import type { AccessRequest } from './request.ts';
import { repositoryOfSpec } from './right.ts';
import type { Doubt } from './verdict.ts';

/** What is kept about who was granted what before; see records/standing.ts. */
export type StandingStore = {
  /** Answers from memory. What is left out may be anything. */
  has(about: {
    readonly namespace: string;
    readonly imageRef?: string;
    readonly trimmedImage?: string;
  }): boolean;
  /** Kept with the records, and gone with the image. */
  add(about: { readonly namespace: string; readonly imageRef: string; readonly trimmedImage: string }): void;
  revoke(imageRefs: readonly string[]): void;
};

/**
 * What the doubt is about. Where the pod's spec is not known, `image` is undefined; where the content is
 * not, `imageRef`.
 */
export type DoubtSubject = { readonly namespace: string } & (
  | { readonly imageRef: string; readonly image: string | undefined }
  | { readonly imageRef: undefined; readonly image: string }
);

export type StandingOfImages = {
  /** Who gets the benefit of the doubt about this, before there is a new verdict on it. */
  doubtOf(subject: DoubtSubject): Doubt;
  /** A verdict allowed it: from now on this namespace has standing with this content under this name. */
  granted(request: Pick<AccessRequest, 'pod' | 'container' | 'imageRef'>): void;
  /**
   * What was granted with this content rested on bytes that do not count as shown any longer: nobody has
   * standing by it until the next verdict `allowed`. Else whoever made up a registry would only have to
   * switch it off.
   */
  bytesInDoubt(imageRefs: readonly string[]): void;
};

/**
 * The benefit of the doubt belongs to what was granted before, or was there first; never to what merely names
 * a registry that does not answer.
 *
 * @param broughtBy did the registry of this repository bring the content to the node?
 */
export function createStanding(
  store: StandingStore,
  broughtBy: (imageRef: string, repository: string) => boolean,
): StandingOfImages {
  return {
    doubtOf({ namespace, imageRef, image }) {
      const trimmedImage = image === undefined ? undefined : trimmedOf(image);
      const about = {
        ...(imageRef !== undefined && { imageRef }),
        ...(trimmedImage !== undefined && { trimmedImage }),
      };
      if (store.has({ namespace, ...about })) return 'standing';
      if (imageRef === undefined || image === undefined) return 'none';
      const repository = repositoryOfSpec(image);
      return repository !== '' && broughtBy(imageRef, repository) ? 'broughtByRegistry' : 'none';
    },
    granted({ pod: { namespace }, container, imageRef }) {
      const about = { namespace, imageRef, trimmedImage: trimmedOf(container.image) };
      if (!store.has(about)) store.add(about);
    },
    bytesInDoubt: store.revoke,
  };
}

/** As records name an image; what is not a name stands for itself. */
function trimmedOf(image: string): string {
  try {
    return trimImageName(image);
  } catch (error) {
    if (error instanceof ImageNameError) return image;
    throw error;
  }
}
