import type { ImagePullSecret } from '../records/types.ts';

/** The secrets of one entry, to be asked in the time it takes to ask for one, however many there are. */
export type SecretIndex = {
  /** Hash -> position of the first secret with it. Unknown (empty) hashes match nothing and are left out. */
  readonly byHash: ReadonlyMap<string, number>;
  /** Uid -> positions of secrets with it; more than one only where somebody forged a uid. */
  readonly byUid: ReadonlyMap<string, readonly number[]>;
};

/** Entries never change (a merge makes a new one), so an index lives as long as its entry does. */
const indexes = new WeakMap<readonly ImagePullSecret[], SecretIndex>();

export function secretIndexOf(secrets: readonly ImagePullSecret[]): SecretIndex {
  let index = indexes.get(secrets);
  if (!index) {
    index = makeIndex(secrets);
    indexes.set(secrets, index);
  }
  return index;
}

/** Position of the first secret with these coordinates; -1 when there is none. */
export function positionOf(
  secrets: readonly ImagePullSecret[],
  index: SecretIndex,
  { namespace, name, uid }: ImagePullSecret,
): number {
  for (const position of index.byUid.get(uid) ?? none) {
    const secret = secrets[position];
    if (secret?.name === name && secret.namespace === namespace) return position;
  }
  return -1;
}

const none: readonly number[] = [];

function makeIndex(secrets: readonly ImagePullSecret[]): SecretIndex {
  const byHash = new Map<string, number>();
  const byUid = new Map<string, number[]>();
  for (const [position, { uid, credentialHash }] of secrets.entries()) {
    if (credentialHash !== '' && !byHash.has(credentialHash)) byHash.set(credentialHash, position);
    const positions = byUid.get(uid);
    if (positions) positions.push(position);
    else byUid.set(uid, [position]);
  }
  return { byHash, byUid };
}
