import { hostOf, repositoryOf } from '../../image/reference.ts';
import type { RecordStore } from '../../records/record-store.ts';
import { checkAccess } from '../record/check-access.ts';
import type { VerificationPolicy } from '../record/policy.ts';
import type { ImageLedger } from './image-ledger.ts';
import type { NodeImage } from './pieces.ts';

type RecordsToLook = Pick<RecordStore, 'pulledRecord' | 'pullIntentExists' | 'isPreloaded' | 'hasInventory'>;

/** Is this image open to every pod of the node, so that its pieces are no secret and need no showing? */
export type IsOpen = (image: Pick<NodeImage, 'imageRef' | 'names'>) => boolean;

/**
 * Open is what policy or inventory allow for everybody, and what every pod was granted by a registry that is
 * believed to have it: because it has shown it, or because the operator trusts it.
 */
export function createOpenImages(
  store: RecordsToLook,
  policy: VerificationPolicy,
  ledger: Pick<ImageLedger, 'isWhollyShown'>,
  isTrusted: (repository: string) => boolean,
): IsOpen {
  function isOpenByName(image: string, imageRef: string): boolean {
    return checkAccess(store, policy, { image, imageRef }).result === 'credentialPolicyAllowed';
  }

  return ({ imageRef, names }) => {
    if (names.some((name) => isOpenByName(name, imageRef))) return true;
    const record = store.pulledRecord(imageRef);
    return [...(record?.credentialMapping ?? [])].some(([trimmed, { nodePodsAccessible }]) => {
      if (nodePodsAccessible !== true) return false;
      // Records trim names, and do not normalize them: `busybox` is on docker.io.
      const repository = repositoryOf(trimmed);
      if (repository === undefined) return false;
      return isTrusted(repository) || ledger.isWhollyShown(imageRef, hostOf(repository));
    });
  };
}
