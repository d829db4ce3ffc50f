import { setImmediate as nextTurn } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { newReadingLimit } from '../credentials/docker-config.ts';
import { type Keyring, keyringOf, lookup, type ReadSecret, readSecret } from '../credentials/keyring.ts';
import type { RegistryCredential } from '../credentials/types.ts';
import { DockerConfigError, PodSourceError } from '../errors.ts';
import type { Pod, PodSource, Secret } from '../pods/pod-source.ts';
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

/** Of what all keyrings kept take: the secrets' own bytes and what each entry takes besides. */
const MAX_BYTES_KEPT = 16 * 1_048_576;
const BYTES_OF_AN_ENTRY = 1_024;
/** No longer than needed: a secret that was deleted or changed should not stay in memory. */
const KEPT_MS = 10 * 60_000;
/** Takes some milliseconds to read. */
const LARGE_BYTES = 65_536;
/** Of all secrets that one pod names. The API server bounds each by 1 MiB; more than that is no set of credentials. */
const MAX_BYTES_OF_POD = 2 * 1_048_576;

/** What a version of a pod's secrets came to: a keyring, or the message why there is none. Neither changes. */
type Kept = { readonly bytes: number } & (
  | { readonly keyring: Keyring; readonly hashes: Map<string, string> }
  | { readonly malformed: string }
);

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
  const kept = new LRUCache<string, Kept>({
    maxSize: MAX_BYTES_KEPT,
    sizeCalculation: ({ bytes }, version) => bytes + version.length + BYTES_OF_AN_ENTRY,
    ttl: KEPT_MS,
    // Otherwise what is over stays in memory until it is asked for again.
    ttlAutopurge: true,
  });
  const inTheMaking = new Map<string, Promise<Kept>>();

  async function make(version: string, secrets: readonly Secret[]): Promise<Kept> {
    try {
      const made = await keptOf(secrets);
      kept.set(version, made);
      return made;
    } finally {
      inTheMaking.delete(version);
    }
  }

  function keptFor(version: string, secrets: readonly Secret[]): Promise<Kept> {
    const making = inTheMaking.get(version) ?? make(version, secrets);
    inTheMaking.set(version, making);
    return making;
  }

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
    const found = kept.get(version) ?? (await keptFor(version, secrets));
    if ('malformed' in found) return unverifiable('secretMalformed', found.malformed);
    const { keyring, hashes } = found;
    const credentials = lookup(keyring, repository).map(({ credential, secret, credentialHash }) => {
      const keyed = hashes.get(credentialHash) ?? keyedHash(credentialHash);
      hashes.set(credentialHash, keyed);
      return { credential, secret: { ...secret, credentialHash: keyed } };
    });
    return { credentials, missing, version };
  };
}

/** Large secrets one by one, so that two of 1 MiB do not keep everything else waiting in one go. */
async function keptOf(secrets: readonly Secret[]): Promise<Kept> {
  const limit = newReadingLimit();
  const readSecrets: ReadSecret[] = [];
  let bytes = 0;
  try {
    for (const secret of secrets) {
      const size = sizeOf(secret.data);
      if (size > LARGE_BYTES) await nextTurn();
      const read = readSecret(secret, limit);
      readSecrets.push(read);
      bytes += size + read.entries.length * BYTES_OF_AN_ENTRY;
    }
  } catch (error) {
    if (error instanceof DockerConfigError) return { bytes: error.message.length, malformed: error.message };
    throw error;
  }
  return { bytes, keyring: keyringOf(readSecrets), hashes: new Map() };
}

function reasonOf(error: PodSourceError): 'apiServerUnavailable' | 'secretUnreadable' {
  return error.reason === 'apiServerUnavailable' ? 'apiServerUnavailable' : 'secretUnreadable';
}

function sizeOf(data: Secret['data']): number {
  let bytes = 0;
  for (const value of data.values()) bytes += value.length;
  return bytes;
}
