import { podCredentialsOf } from '../credentials/grant.ts';
import type { SourcedCredential } from '../credentials/types.ts';
import { PodSourceError } from '../errors.ts';
import type { Pod, PodSource, Secret } from '../pods/pod-source.ts';
import type { PodCredential } from './pod-credential.ts';
import type { PodPullCredentials } from './record/decide.ts';
import { createSecretKeyrings, sizeOf } from './secret-keyrings.ts';
import { type Unverifiable, unverifiable } from './verdict.ts';

export type PodCredentials = {
  /** In the order in which kubelet tries them. */
  readonly credentials: readonly PodCredential[];
  /** How many imagePullSecrets the pod names. */
  readonly imagePullSecrets: number;
  /** Names of imagePullSecrets that do not exist; kubelet goes on without them, so do we, but say so. */
  readonly missing: readonly string[];
  /** Of the secrets that exist: changes whenever one of them appears, disappears or changes its content. */
  readonly version: string;
  /** Were secrets taken from a cache, so that they may have been changed meanwhile? */
  readonly isCached: boolean;
  /** A source that could not be asked: what it would have offered might have been granted. */
  readonly problem?: Unverifiable;
};

/**
 * What the node offers besides a pod's secrets: its docker config files and its credential provider plugins.
 */
export type NodeOffer = {
  readonly credentials: readonly SourcedCredential[];
  readonly problem?: Unverifiable;
};

export type NodeCredentialSource = {
  /** Never throws; runs plugins, so that it may take their time limit. */
  offerFor(pod: Pod, repository: string): Promise<NodeOffer>;
};

export type ReadOptions = {
  /** Read secrets again from where they come from. */
  readonly fresh?: boolean;
  /** Only what the pod's secrets hold: runs no plugin. */
  readonly secretsOnly?: boolean;
};

export type PodCredentialsReader = (
  pod: Pod,
  repository: string,
  read?: ReadOptions,
) => Promise<PodCredentials | Unverifiable>;

/** Ours: nobody needs more, and each costs the API server a request. */
const MAX_IMAGE_PULL_SECRETS = 100;
/**
 * Of all secrets that one pod names. The API server bounds each by 1 MiB; more than that is no set of
 * credentials.
 */
const MAX_BYTES_OF_POD = 2 * 1_048_576;

/**
 * Reads what a pod may pull with, in kubelet's order: its imagePullSecrets, then what the node offers
 * (kuberuntime PullImage, getPullSecretsForPod). A secret that does not exist is passed over; one malformed
 * docker config fails the whole look-up.
 *
 * @param keyedHash turns kubelet's credentialHash into what may be stored
 */
export function createPodCredentialsReader(
  pods: Pick<PodSource, 'getSecret'>,
  keyedHash: (credentialHash: string) => string,
  node?: NodeCredentialSource,
): PodCredentialsReader {
  const keyrings = createSecretKeyrings(keyedHash);
  return async (pod, repository, { fresh = false, secretsOnly = false } = {}) => {
    const askedAt = performance.now();
    const read = await readSecrets(pods, pod, fresh);
    if ('verdict' in read) return read;
    const offer = node === undefined || secretsOnly ? nothing : node.offerFor(pod, repository);
    const { version, ...found } = await keyrings.lookup(read.secrets, repository);
    if ('malformed' in found) return unverifiable('secretMalformed', found.malformed);
    const { credentials: offered, problem } = await offer;
    const fromNode = offered.map(({ credential, source, credentialHash }) => {
      return { credential, source, key: keyedHash(credentialHash) };
    });
    return {
      credentials: [...found.credentials, ...fromNode],
      imagePullSecrets: pod.imagePullSecrets.length,
      missing: read.missing,
      version,
      isCached: !fresh && read.secrets.some(({ readAtMs }) => readAtMs < askedAt),
      ...(problem && { problem }),
    };
  };
}

const nothing: NodeOffer = { credentials: [] };

type ReadSecrets = { readonly secrets: readonly Secret[]; readonly missing: readonly string[] };

async function readSecrets(
  pods: Pick<PodSource, 'getSecret'>,
  pod: Pod,
  fresh: boolean,
): Promise<ReadSecrets | Unverifiable> {
  const secrets: Secret[] = [];
  const missing: string[] = [];
  let bytes = 0;
  if (pod.imagePullSecrets.length > MAX_IMAGE_PULL_SECRETS) {
    const count = pod.imagePullSecrets.length;
    return unverifiable(
      'tooManyCredentials',
      `the pod names ${count} imagePullSecrets, and ${MAX_IMAGE_PULL_SECRETS} are read at most`,
    );
  }
  for (const name of pod.imagePullSecrets) {
    try {
      const secret = await pods.getSecret(pod.namespace, name, { fresh });
      if (secret) secrets.push(secret);
      else missing.push(name);
      bytes += secret === undefined ? 0 : sizeOf(secret.data);
    } catch (error) {
      if (error instanceof PodSourceError) return unverifiable(reasonOf(error), error.message);
      throw error;
    }
    if (bytes > MAX_BYTES_OF_POD) {
      return unverifiable('secretMalformed', `the imagePullSecrets hold more than ${MAX_BYTES_OF_POD} bytes`);
    }
  }
  return { secrets, missing };
}

function reasonOf(error: PodSourceError): 'apiServerUnavailable' | 'secretUnreadable' {
  return error.reason === 'apiServerUnavailable' ? 'apiServerUnavailable' : 'secretUnreadable';
}

/**
 * As the record is asked: every secret in order, and the first service account (kubelet's GetCredentials).
 */
export function recordedAs(credentials: readonly PodCredential[]): PodPullCredentials {
  return podCredentialsOf(
    credentials.map(({ credential, source, key }) => ({ credential, source, credentialHash: key })),
  );
}
