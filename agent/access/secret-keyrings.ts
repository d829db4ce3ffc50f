import { setImmediate as nextTurn } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { type Keyring, lookup, makeKeyring } from '../credentials/keyring.ts';
import type { TrackedCredential } from '../credentials/types.ts';
import { DockerConfigError } from '../errors.ts';
import type { Secret } from '../pods/pod-source.ts';
import { createLargeSecretReader } from './large-secrets/reader.ts';
import type { PodCredential } from './pod-credential.ts';

/** Of what all keyrings kept take: the secrets' own bytes and what each entry takes besides. */
const MAX_BYTES_KEPT = 8 * 1_048_576;
const BYTES_OF_AN_ENTRY = 1_024;
/** No longer than needed: a secret that was deleted or changed should not stay in memory. */
const KEPT_MS = 10 * 60_000;
/** Of all secrets of a pod: what is larger would hold up the main thread for more than some milliseconds. */
const LARGE_BYTES = 8_192;
/** Hashed in one go. */
const AT_ONCE = 20;

/** What a version of a pod's secrets came to. None of it changes, but for the hashes that are looked up. */
type Kept = { readonly bytes: number } & (
  | { readonly keyring: Keyring; readonly keys: Map<string, string> }
  | { readonly credentials: readonly PodCredential[] }
  | { readonly malformed: string }
);

type Offer = { readonly credentials: readonly PodCredential[] } | { readonly malformed: string };

export type SecretKeyrings = {
  /** What the secrets, in this order, offer for a repository; `version` changes with their content. */
  lookup(secrets: readonly Secret[], repository: string): Promise<{ readonly version: string } & Offer>;
};

/**
 * Reads secrets into keyrings once for each content of them, and keeps these for a while. Where they are
 * large another thread reads them, once for each repository.
 */
export function createSecretKeyrings(keyedHash: (credentialHash: string) => string): SecretKeyrings {
  const kept = new LRUCache<string, Kept>({
    maxSize: MAX_BYTES_KEPT,
    sizeCalculation: ({ bytes }, key) => bytes + key.length + BYTES_OF_AN_ENTRY,
    ttl: KEPT_MS,
    // Otherwise what is over stays in memory until it is asked for again.
    ttlAutopurge: true,
  });
  const large = createLargeSecretReader();
  const inTheMaking = new Map<string, Promise<Kept>>();

  async function make(
    key: string,
    secrets: readonly Secret[],
    repository: string | undefined,
  ): Promise<Kept> {
    try {
      const made = await (repository === undefined ? keyringFor(secrets) : answerFor(secrets, repository));
      kept.set(key, made);
      return made;
    } finally {
      inTheMaking.delete(key);
    }
  }

  async function answerFor(secrets: readonly Secret[], repository: string): Promise<Kept> {
    const found = await large.find(secrets[0]?.namespace ?? '', secrets, repository);
    if ('malformed' in found) return malformed(found.malformed);
    const credentials: PodCredential[] = [];
    let bytes = 0;
    for (const [n, tracked] of found.offered.entries()) {
      if (n % AT_ONCE === AT_ONCE - 1) await nextTurn();
      credentials.push(podCredential(tracked, keyedHash(tracked.credentialHash)));
      bytes += tracked.credential.password.length + BYTES_OF_AN_ENTRY;
    }
    return { bytes, credentials };
  }

  return {
    async lookup(secrets, repository) {
      const version = JSON.stringify(
        secrets.map(({ namespace, name, uid, resourceVersion }) => [namespace, name, uid, resourceVersion]),
      );
      const isLarge = secrets.reduce((sum, { data }) => sum + sizeOf(data), 0) > LARGE_BYTES;
      const key = isLarge ? `${version} ${repository}` : version;
      let found = kept.get(key);
      if (found === undefined) {
        const making = inTheMaking.get(key) ?? make(key, secrets, isLarge ? repository : undefined);
        inTheMaking.set(key, making);
        found = await making;
      }
      if ('malformed' in found) return { version, malformed: found.malformed };
      if ('credentials' in found) return { version, credentials: found.credentials };
      const { keyring, keys } = found;
      const credentials = lookup(keyring, repository).map((tracked) => {
        const hashed = keys.get(tracked.credentialHash) ?? keyedHash(tracked.credentialHash);
        keys.set(tracked.credentialHash, hashed);
        return podCredential(tracked, hashed);
      });
      return { version, credentials };
    },
  };
}

async function keyringFor(secrets: readonly Secret[]): Promise<Kept> {
  try {
    const keyring = makeKeyring(secrets);
    const bytes = secrets.reduce((sum, { data }) => sum + sizeOf(data), 0);
    return { bytes: bytes + keyring.entries.length * BYTES_OF_AN_ENTRY, keyring, keys: new Map() };
  } catch (error) {
    if (error instanceof DockerConfigError) return malformed(error.message);
    throw error;
  }
}

function malformed(message: string): Kept {
  return { bytes: message.length, malformed: message };
}

function podCredential({ credential, secret }: TrackedCredential, key: string): PodCredential {
  return { credential, source: { kind: 'secret', ...secret }, key };
}

/** Bytes of a secret's data. */
export function sizeOf(data: Secret['data']): number {
  let bytes = 0;
  for (const value of data.values()) bytes += value.length;
  return bytes;
}
