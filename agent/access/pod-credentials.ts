import { LRUCache } from 'lru-cache';
import { DockerConfigError } from '../credentials/docker-config.ts';
import { type Keyring, lookup, makeKeyring } from '../credentials/keyring.ts';
import type { RegistryCredential } from '../credentials/types.ts';
import { type Pod, type PodSource, PodSourceError, type Secret } from '../pods/source.ts';
import type { ImagePullSecret } from '../records/types.ts';
import { type Unverifiable, unverifiable } from './verdict.ts';

/** A credential that the pod may try for one repository. `secret.credentialHash` is keyed. Must never be logged. */
export type PodCredential = { readonly credential: RegistryCredential; readonly secret: ImagePullSecret };

export type PodCredentials = {
  readonly credentials: readonly PodCredential[];
  /** Names of imagePullSecrets that do not exist; kubelet goes on without them, so do we, but say so. */
  readonly missing: readonly string[];
  /** Changes whenever a secret of the pod appears, disappears or changes its content. */
  readonly version: string;
};

const MAX_KEYRINGS = 1_000;
/** Of all secrets that one pod names. The API server bounds each by 1 MiB; more than that is no set of credentials. */
const MAX_BYTES_OF_POD = 2 * 1_048_576;

export type PodCredentialsReader = (
  pod: Pod,
  repository: string,
  read?: { readonly fresh: boolean },
) => Promise<PodCredentials | Unverifiable>;

/**
 * Reads a pod's imagePullSecrets in order and says what kubelet's keyring would offer for a repository
 * (kuberuntime PullImage and getPullSecretsForPod): a secret that does not exist is passed over, one malformed
 * docker config fails the whole look-up.
 */
export function createPodCredentialsReader(
  pods: Pick<PodSource, 'getSecret'>,
  keyedHash: (credentialHash: string) => string,
): PodCredentialsReader {
  const keyrings = new LRUCache<string, { keyring: Keyring; hashes: Map<string, string> }>({
    max: MAX_KEYRINGS,
  });

  return async (pod, repository, read) => {
    const secrets: Secret[] = [];
    const missing: string[] = [];
    for (const name of pod.imagePullSecrets) {
      try {
        const secret = await pods.getSecret(pod.namespace, name, read);
        if (secret) secrets.push(secret);
        else missing.push(name);
      } catch (error) {
        if (error instanceof PodSourceError) return unverifiable(reasonOf(error), error.message);
        throw error;
      }
    }
    const bytes = secrets.reduce((sum, { data }) => sum + sizeOf(data), 0);
    if (bytes > MAX_BYTES_OF_POD) {
      return unverifiable('secretMalformed', `the imagePullSecrets hold more than ${MAX_BYTES_OF_POD} bytes`);
    }
    const version = JSON.stringify(
      secrets.map((secret) => [secret.namespace, secret.name, secret.uid, secret.resourceVersion]),
    );
    try {
      const cached = keyrings.get(version) ?? {
        keyring: makeKeyring(secrets),
        hashes: new Map<string, string>(),
      };
      keyrings.set(version, cached);
      const credentials = lookup(cached.keyring, repository).map(({ credential, secret, credentialHash }) => {
        const keyed = cached.hashes.get(credentialHash) ?? keyedHash(credentialHash);
        cached.hashes.set(credentialHash, keyed);
        return { credential, secret: { ...secret, credentialHash: keyed } };
      });
      return { credentials, missing, version };
    } catch (error) {
      if (error instanceof DockerConfigError) return unverifiable('secretMalformed', error.message);
      throw error;
    }
  };
}

function reasonOf(error: PodSourceError): 'apiServerUnavailable' | 'secretUnreadable' {
  return error.reason === 'apiServerUnavailable' ? 'apiServerUnavailable' : 'secretUnreadable';
}

function sizeOf(data: Secret['data']): number {
  let bytes = 0;
  for (const value of data.values()) bytes += value.length;
  return bytes;
}
