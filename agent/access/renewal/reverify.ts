import { RecordStoreError } from '../../errors.ts';
import { repositoryOf, trimImageName } from '../../image/reference.ts';
import type { RecordStore } from '../../records/record-store.ts';
import type { Grantee } from '../../records/types.ts';
import type { PodCredentialsReader } from '../pod-credentials.ts';
import type { Lookup } from '../record/lookup.ts';
import type { AccessRequest } from '../request.ts';
import { type FindRight, repositoryOfSpec } from '../right.ts';
import { allowed, unverifiable, type Verdict } from '../verdict.ts';
import type { Renew } from './renew.ts';
import { revokeCredential } from './revoke.ts';

export type ReverifyParts = {
  readonly store: Pick<RecordStore, 'pulledRecord' | 'revoke'>;
  /** Goes by no record: see `withoutRecord`. */
  readonly findRight: FindRight;
  readonly readCredentials: PodCredentialsReader;
  readonly renew: Renew;
  readonly onRecordStoreError: (error: RecordStoreError) => void;
};

/**
 * Asks again whether a container that runs may have its image, whatever is on record. A refusal takes the
 * grants of the pod's credentials off the record, an outage does not. Never throws.
 */
export type Reverify = (request: AccessRequest) => Promise<Verdict>;

export function createReverify(parts: ReverifyParts): Reverify {
  const { store, findRight, readCredentials, renew } = parts;

  /** What is granted to every pod needs no credential of this one. */
  async function byWhatEverybodyHas({ container, imageRef }: AccessRequest): Promise<Verdict | undefined> {
    const trimmedImage = trimmedOf(container.image);
    const known = store.pulledRecord(imageRef)?.credentialMapping.get(trimmedImage);
    const kind: Grantee['kind'] | undefined = known?.nodePodsAccessible ? 'nodePodsAccessible' : undefined;
    if (kind === undefined) return undefined;
    const renewed = await renew({ imageRef, trimmedImage, grantee: { kind }, verifiedAt: undefined });
    if (renewed === 'granted') return allowed('recordMatched', 'the registry grants it to every pod still');
    if (renewed === 'refused') return undefined;
    return unverifiable('registryUnavailable', 'the registry could not be asked again now');
  }

  async function revokeAllOf({ pod, container, imageRef }: AccessRequest): Promise<void> {
    const read = await readCredentials(pod, repositoryOfSpec(container.image));
    if ('verdict' in read) return;
    const place = { imageRef, trimmedImage: trimmedOf(container.image) };
    for (const credential of read.credentials) revokeCredential(store, place, credential);
  }

  async function reverify(request: AccessRequest): Promise<Verdict> {
    const known = await byWhatEverybodyHas(request);
    if (known) return known;
    // What the pull policy says of a container's start says nothing about one that runs.
    const container = { ...request.container, imagePullPolicy: 'IfNotPresent' as const };
    const right = await findRight({ ...request, container, urgent: false });
    if (right.kind === 'rotated') return unverifiable('verificationInProgress', 'a secret is being changed');
    if (right.verdict.reason === 'registryRefused') await revokeAllOf(request);
    return right.verdict;
  }

  return async (request) => {
    try {
      return await reverify(request);
    } catch (error) {
      if (error instanceof RecordStoreError) parts.onRecordStoreError(error);
      const message = error instanceof Error ? error.message : String(error);
      return unverifiable('internalError', message);
    }
  };
}

/** Policy and inventory count, a record does not: whoever it vouches for is to be asked about. */
export function withoutRecord(lookup: Lookup): Lookup {
  return async (request, image, repository) => {
    const found = await lookup(request, image, repository);
    const byRecord = found.result.verdict === 'rotated' || isByRecord(found.result);
    return byRecord ? { result: { verdict: 'mustAuthenticate' } } : found;
  };
}

function isByRecord(result: { readonly verdict: string; readonly reason?: string }): boolean {
  return result.verdict === 'allowed' && result.reason === 'recordMatched';
}

function trimmedOf(image: string): string {
  return repositoryOf(image) === undefined ? image : trimImageName(image);
}
