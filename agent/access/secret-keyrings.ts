import { setImmediate as nextTurn } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { newReadingLimit } from '../credentials/docker-config.ts';
import { type Keyring, keyringOf, lookup, type ReadSecret, readSecret } from '../credentials/keyring.ts';
import { DockerConfigError } from '../errors.ts';
import type { Secret } from '../pods/pod-source.ts';
import type { PodCredential } from './pod-credential.ts';

/** Of what all keyrings kept take: the secrets' own bytes and what each entry takes besides. */
const MAX_BYTES_KEPT = 16 * 1_048_576;
const BYTES_OF_AN_ENTRY = 1_024;
/** No longer than needed: a secret that was deleted or changed should not stay in memory. */
const KEPT_MS = 10 * 60_000;
/** Takes some milliseconds to read. */
const LARGE_BYTES = 65_536;

/** What a version of a pod's secrets came to: a keyring, or the message why there is none. Neither changes. */
type Kept = { readonly bytes: number } & (
  | { readonly keyring: Keyring; readonly keys: Map<string, string> }
  | { readonly malformed: string }
);

export type SecretKeyrings = {
  /** What the secrets, in this order, offer for a repository; `version` changes with their content. */
  lookup(
    secrets: readonly Secret[],
    repository: string,
  ): Promise<
    { readonly version: string } & (
      | { readonly credentials: readonly PodCredential[] }
      | { readonly malformed: string }
    )
  >;
};

/** Reads secrets into keyrings once for each content of them, and keeps these for a while. */
export function createSecretKeyrings(keyedHash: (credentialHash: string) => string): SecretKeyrings {
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

  return {
    async lookup(secrets, repository) {
      const version = JSON.stringify(
        secrets.map(({ namespace, name, uid, resourceVersion }) => [namespace, name, uid, resourceVersion]),
      );
      const found = kept.get(version) ?? (await keptFor(version, secrets));
      if ('malformed' in found) return { version, malformed: found.malformed };
      const { keyring, keys } = found;
      const credentials = lookup(keyring, repository).map(({ credential, secret, credentialHash }) => {
        const key = keys.get(credentialHash) ?? keyedHash(credentialHash);
        keys.set(credentialHash, key);
        return { credential, source: { kind: 'secret' as const, ...secret }, key };
      });
      return { version, credentials };
    },
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
  return { bytes, keyring: keyringOf(readSecrets), keys: new Map() };
}

/** Bytes of a secret's data. */
export function sizeOf(data: Secret['data']): number {
  let bytes = 0;
  for (const value of data.values()) bytes += value.length;
  return bytes;
}
