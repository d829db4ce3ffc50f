import type { ImagePullSecret } from '../../records/types.ts';

/** The secrets of one entry, to be asked in the time it takes to ask for one, however many there are. */
type SecretIndex = {
  /** Hash -> position of the first secret with it. Unknown (empty) hashes match nothing and are left out. */
  readonly byHash: ReadonlyMap<string, number>;
  /** Uid -> position of the secret with it; positions, where somebody forged a uid. */
  readonly byUid: ReadonlyMap<string, number | readonly number[]>;
};

/** Up to here it is faster to look at one after the other than to find an index and look there. */
const FEW = 8;

/**
 * Position of the first secret with these coordinates, and of the first with this hash; -1 when there is
 * none.
 */
export type Found = { readonly sameSecret: number; readonly sameHash: number };

/**
 * Finds a pod's secret in an entry. One that is there just as it is has both positions, whatever else has the
 * same hash: then nothing is to be learned from the other.
 */
export function findSecret(secrets: readonly ImagePullSecret[], sought: ImagePullSecret): Found {
  const index = secrets.length > FEW ? secretIndexOf(secrets) : undefined;
  const sameSecret = index ? positionOf(secrets, index, sought) : scan(secrets, sought);
  const { credentialHash } = sought;
  // An unknown hash is like no other.
  if (credentialHash === '') return { sameSecret, sameHash: -1 };
  if (secrets[sameSecret]?.credentialHash === credentialHash) return { sameSecret, sameHash: sameSecret };
  const sameHash = index
    ? (index.byHash.get(credentialHash) ?? -1)
    : secrets.findIndex((secret) => secret.credentialHash === credentialHash);
  return { sameSecret, sameHash };
}

/** Entries never change (a merge makes a new one), so an index lives as long as its entry does. */
const indexes = new WeakMap<readonly ImagePullSecret[], SecretIndex>();

function secretIndexOf(secrets: readonly ImagePullSecret[]): SecretIndex {
  let index = indexes.get(secrets);
  if (!index) {
    index = makeIndex(secrets);
    indexes.set(secrets, index);
  }
  return index;
}

function scan(secrets: readonly ImagePullSecret[], { namespace, name, uid }: ImagePullSecret): number {
  for (let position = 0; position < secrets.length; position += 1) {
    const secret = secrets[position];
    if (secret?.uid === uid && secret.name === name && secret.namespace === namespace) return position;
  }
  return -1;
}

function positionOf(
  secrets: readonly ImagePullSecret[],
  index: SecretIndex,
  { namespace, name, uid }: ImagePullSecret,
): number {
  const at = index.byUid.get(uid) ?? -1;
  for (const position of typeof at === 'number' ? [at] : at) {
    const secret = secrets[position];
    if (secret?.name === name && secret.namespace === namespace) return position;
  }
  return -1;
}

function makeIndex(secrets: readonly ImagePullSecret[]): SecretIndex {
  const byHash = new Map<string, number>();
  const byUid = new Map<string, number | number[]>();
  for (const [position, { uid, credentialHash }] of secrets.entries()) {
    if (credentialHash !== '' && !byHash.has(credentialHash)) byHash.set(credentialHash, position);
    const others = byUid.get(uid);
    if (others === undefined) byUid.set(uid, position);
    else if (typeof others === 'number') byUid.set(uid, [others, position]);
    else others.push(position);
  }
  return { byHash, byUid };
}
