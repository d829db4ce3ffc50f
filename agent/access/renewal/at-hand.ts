import type { Pod } from '../../pods/pod-source.ts';
import type { Grantee } from '../../records/types.ts';
import type { PodCredential } from '../pod-credential.ts';
import type { PodCredentialsReader } from '../pod-credentials.ts';
import type { Unverifiable } from '../verdict.ts';

/** The pods of the node whose containers use this content. */
export type PodsOf = (imageRef: string) => AsyncIterable<Pod>;

export type AtHand =
  /** Undefined among them is a question without any. */
  { readonly credentials: readonly (PodCredential | undefined)[] } | Unverifiable | 'gone' | 'notAtHand';

type Owner = Extract<Grantee, { readonly uid: string }>;

/**
 * What the content was granted to, as it is now: a secret is read again, a service account speaks through a
 * pod of the node that has it, and for what is every pod's the node's own credentials and none at all are
 * tried.
 */
export async function credentialsAtHand(
  { grantee, imageRef, repository }: { grantee: Grantee; imageRef: string; repository: string },
  { readCredentials, podsOf }: { readonly readCredentials: PodCredentialsReader; readonly podsOf: PodsOf },
): Promise<AtHand> {
  switch (grantee.kind) {
    case 'kubernetesSecret':
      return ofSecret(grantee, repository, readCredentials);
    case 'kubernetesServiceAccount':
      return ofServiceAccount(grantee, { repository, pods: podsOf(imageRef) }, readCredentials);
    case 'nodePodsAccessible':
    case 'grantedByRuntime':
      return ofTheNode({ repository, pods: podsOf(imageRef) }, readCredentials);
  }
}

async function ofSecret(owner: Owner, repository: string, read: PodCredentialsReader): Promise<AtHand> {
  const found = await read(podWith({ namespace: owner.namespace, secret: owner.name }), repository, {
    fresh: true,
    secretsOnly: true,
  });
  if ('verdict' in found) return found;
  if (found.missing.length > 0) return 'gone';
  const credentials = found.credentials.filter(
    ({ source }) => source.kind === 'secret' && source.uid === owner.uid,
  );
  return credentials.length > 0 ? { credentials } : 'notAtHand';
}

type Through = { readonly repository: string; readonly pods: AsyncIterable<Pod> };

async function ofServiceAccount(
  owner: Owner,
  { repository, pods }: Through,
  read: PodCredentialsReader,
): Promise<AtHand> {
  for await (const pod of pods) {
    if (pod.namespace !== owner.namespace || pod.serviceAccountName !== owner.name) continue;
    const found = await read(pod, repository);
    if ('verdict' in found) return found;
    const credentials = found.credentials.filter(
      ({ source }) => source.kind === 'serviceAccount' && source.uid === owner.uid,
    );
    if (credentials.length > 0) return { credentials };
    if (found.problem) return found.problem;
  }
  return 'notAtHand';
}

async function ofTheNode({ repository, pods }: Through, read: PodCredentialsReader): Promise<AtHand> {
  let someone = podWith({ namespace: '' });
  for await (const pod of pods) {
    someone = pod;
    break;
  }
  const found = await read({ ...someone, imagePullSecrets: [] }, repository);
  if ('verdict' in found) return found;
  if (found.problem) return found.problem;
  return { credentials: [...found.credentials.filter(({ source }) => source.kind === 'node'), undefined] };
}

/** Nobody's pod, to read with what one would have. */
function podWith({ namespace, secret }: { readonly namespace: string; readonly secret?: string }): Pod {
  return {
    namespace,
    name: '',
    uid: '',
    serviceAccountName: '',
    imagePullSecrets: secret === undefined ? [] : [secret],
    containers: [],
  };
}
