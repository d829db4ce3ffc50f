import { repositoryOf } from '../../image/reference.ts';
import type { RecordStore } from '../../records/record-store.ts';
import { checkAccess } from '../record/check-access.ts';
import type { VerificationPolicy } from '../record/policy.ts';
import type { ImageLedger } from './image-ledger.ts';

type RecordsToLook = Pick<RecordStore, 'pulledRecord' | 'pullIntentExists' | 'isPreloaded' | 'hasInventory'>;

/**
 * Is an image open to every pod of the node? One that policy or inventory allow for everybody, or that every pod was
 * granted under a registry that has shown it. Its pieces are no secret to anybody, and need no showing.
 */
export function createOpenImages(
  store: RecordsToLook,
  policy: VerificationPolicy,
  ledger: Pick<ImageLedger, 'isWhollyShown' | 'namesOf'>,
): (imageRef: string) => boolean {
  return (imageRef) => {
    const isOpenByName = ledger
      .namesOf(imageRef)
      .some((image) => checkAccess(store, policy, { image, imageRef }).result === 'credentialPolicyAllowed');
    if (isOpenByName) return true;
    const record = store.pulledRecord(imageRef);
    return [...(record?.credentialMapping ?? [])].some(
      ([trimmed, { nodePodsAccessible }]) =>
        nodePodsAccessible === true && ledger.isWhollyShown(imageRef, registryOf(trimmed)),
    );
  };
}

/** Of a trimmed image name, which is not normalized: `busybox` is on docker.io. */
function registryOf(trimmed: string): string {
  const repository = repositoryOf(trimmed) ?? '';
  return repository.slice(0, Math.max(0, repository.indexOf('/')));
}
