import { LRUCache } from 'lru-cache';
import { imageIdKey } from '../image/image-id.ts';
import { hostOf } from '../image/reference.ts';

/** What the runtime was granted without any credential of a pod. */
export type RuntimeGrant = {
  readonly namespace: string;
  readonly imageRef: string;
  readonly repository: string;
};

/**
 * Pulls that succeeded without a pod's credentials although the registry itself does not grant that: a mirror
 * that asks nobody, or credentials in the runtime's own configuration (CRI-O has some by namespace). Kubelet
 * records these for every pod for good. Here each counts for its own namespace, for a day, and then is asked
 * about again.
 */
export type RuntimeGrants = {
  add(grant: RuntimeGrant): void;
  has(grant: RuntimeGrant): boolean;
  /** Repositories that were granted in this way. */
  repositories(): readonly string[];
  /** And the registries that they are of. */
  registries(): readonly string[];
};

const GOOD_FOR_MS = 24 * 3_600_000;
const MAX_KEPT = 10_000;

export function createRuntimeGrants(): RuntimeGrants {
  const grants = new LRUCache<string, RuntimeGrant>({ max: MAX_KEPT, ttl: GOOD_FOR_MS });
  const keyOf = ({ namespace, imageRef, repository }: RuntimeGrant) =>
    JSON.stringify([namespace, imageIdKey(imageRef), repository]);
  const repositories = () => [...new Set([...grants.values()].map(({ repository }) => repository))].sort();
  return {
    add: (grant) => void grants.set(keyOf(grant), grant),
    has: (grant) => grants.get(keyOf(grant)) !== undefined,
    repositories,
    registries: () => [...new Set(repositories().map(hostOf))],
  };
}
