import { hostOf, repositoryOf } from '../../image/reference.ts';
import type { RecordStore } from '../../records/record-store.ts';
import { checkAccess } from '../record/check-access.ts';
import type { VerificationPolicy } from '../record/policy.ts';
import type { ImageLedger } from './image-ledger.ts';
import type { NodeImage } from './pieces.ts';

type RecordsToLook = Pick<RecordStore, 'pulledRecord' | 'pullIntentExists' | 'isPreloaded' | 'hasInventory'>;

/** Which images are open to every pod of the node, so that their pieces are no secret and need no showing. */
export type OpenImages = {
  isOpen(image: Pick<NodeImage, 'imageRef' | 'names'>): boolean;
  /** The registries that grant this image to every pod, whether or not they have shown it. */
  grantedToAllBy(image: Pick<NodeImage, 'imageRef'>): readonly string[];
};

/**
 * Open is what policy or inventory allow for everybody, and what every pod was granted by a registry that is
 * believed to have it: because it has shown it, or because the operator trusts it.
 */
export function createOpenImages(
  store: RecordsToLook,
  policy: VerificationPolicy,
  ledger: Pick<ImageLedger, 'isWhollyShown'>,
  isTrusted: (repository: string) => boolean,
): OpenImages {
  function isOpenByName(image: string, imageRef: string): boolean {
    return checkAccess(store, policy, { image, imageRef }).result === 'credentialPolicyAllowed';
  }

  function repositoriesForAll(imageRef: string): readonly string[] {
    const grants = [...(store.pulledRecord(imageRef)?.credentialMapping ?? [])];
    // Records trim names, and do not normalize them: `busybox` is on docker.io.
    return grants.flatMap(([trimmed, { nodePodsAccessible }]) =>
      nodePodsAccessible === true ? (repositoryOf(trimmed) ?? []) : [],
    );
  }

  return {
    isOpen({ imageRef, names }) {
      if (names.some((name) => isOpenByName(name, imageRef))) return true;
      return repositoriesForAll(imageRef).some(
        (repository) => isTrusted(repository) || ledger.isWhollyShown(imageRef, repository),
      );
    },
    grantedToAllBy: ({ imageRef }) => repositoriesForAll(imageRef).map(hostOf),
  };
}
