import { trimImageName } from '../image/reference.ts';
import type { RecordStore } from '../records/record-store.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { namesOfContent } from './names.ts';
import type { PodCredential } from './pod-credential.ts';
import type { PodCredentialsReader } from './pod-credentials.ts';
import type { Prove } from './proof/prove.ts';
import type { AccessRequest } from './request.ts';
import { type FindRight, imageMismatch, imageNotPresent, type Rotated, repositoryOfSpec } from './right.ts';
import type { Verdict } from './verdict.ts';

export type RotationParts = {
  readonly runtime: Pick<Runtime, 'imageStatus'>;
  readonly store: Pick<RecordStore, 'pulledRecord' | 'revokeSecret'>;
  readonly readCredentials: PodCredentialsReader;
  readonly prove: Prove;
  readonly findRight: FindRight;
  /** Runs a write to the records and reports it when it fails. */
  readonly remember: (write: () => void) => void;
};

/** A pod has a handful of secrets; one that is changed faster than it can be verified is not waited for. */
const MAX_ROUNDS = 5;

/**
 * Verifies a secret that was good for an image and has been changed since. Kubelet trusts its coordinates and
 * writes down the new hash unverified; here the hash vouches for nobody before the registry has granted it. A
 * refusal takes the secret out of the record, unless it was repaired meanwhile; then the pod is judged by
 * what it has besides.
 */
export async function verifyRotated(
  parts: RotationParts,
  request: AccessRequest,
  first: Rotated,
): Promise<Verdict> {
  let rotated = first;
  for (let round = 1; ; round += 1) {
    const verdict = await verify(parts, request, rotated);
    if (verdict.verdict !== 'denied' || round === MAX_ROUNDS) return verdict;
    const besides = await parts.findRight(request);
    if (besides.kind === 'verdict') return besides.verdict;
    rotated = besides;
  }
}

async function verify(
  parts: RotationParts,
  request: AccessRequest,
  { image, credential }: Rotated,
): Promise<Verdict> {
  const listed = await parts.runtime.imageStatus(request.imageRef);
  if (listed === undefined) return imageNotPresent;
  const names = namesOfContent(image, listed);
  if (names.kind !== 'spec') return imageMismatch(request);
  const { verdict } = await parts.prove(request, names.name, credential);
  const { source } = credential;
  if (verdict.verdict === 'denied' && source.kind === 'secret') {
    const isRepaired = await holdsWhatIsRecorded(parts, request, { image, credential });
    if (!isRepaired) {
      parts.remember(() => parts.store.revokeSecret(request.imageRef, trimImageName(image), source));
    }
  }
  return verdict;
}

/** Does the secret hold what the record vouches for by now? Whoever refused it has just read it again. */
async function holdsWhatIsRecorded(
  { readCredentials, store }: RotationParts,
  { pod, imageRef }: AccessRequest,
  { image, credential: refused }: { readonly image: string; readonly credential: PodCredential },
): Promise<boolean> {
  const trimmed = trimImageName(image);
  const read = await readCredentials(pod, repositoryOfSpec(image), { secretsOnly: true });
  if ('verdict' in read) return false;
  const entry = store.pulledRecord(imageRef)?.credentialMapping.get(trimmed);
  const recorded = entry?.kubernetesSecrets?.find((secret) => isSameSource(refused, secret))?.credentialHash;
  if (recorded === undefined || recorded === '' || recorded === refused.key) return false;
  return read.credentials.some(({ source, key }) => key === recorded && isSameSource(refused, source));
}

type Coordinates = { readonly namespace: string; readonly name: string; readonly uid: string };

function isSameSource({ source }: PodCredential, other: Coordinates | PodCredential['source']): boolean {
  if (source.kind !== 'secret' || !('uid' in other)) return false;
  return source.uid === other.uid && source.namespace === other.namespace && source.name === other.name;
}
