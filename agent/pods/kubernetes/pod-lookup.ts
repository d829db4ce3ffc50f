import { ApiError, PodSourceError } from '../../errors.ts';
import { type ApiClient, isObjectName } from '../../kubernetes/api-client.ts';
import type { Pod } from '../pod-source.ts';
import type { ObjectReader } from './object-reader.ts';
import { isUnrelated } from './past-lag.ts';
import type { PodCache, PodRef } from './pod-cache.ts';
import { podSourceError } from './pod-errors.ts';

export type PodLookup = {
  /** As PodSource.getPod: undefined only while the API server is alive and does not know this uid. */
  getPod(ref: PodRef & { readonly containerName?: string }): Promise<Pod | undefined>;
  findPod(namespace: string, name: string): Promise<Pod | undefined>;
};

export type PodLookupOptions = {
  readonly client: ApiClient;
  readonly cache: PodCache;
  readonly reader: ObjectReader;
  /** How long to wait for the watch before a pod is asked for, ms. */
  readonly waitMs: number;
  /**
   * Whether the watch is alive: otherwise there is nothing to wait for, and nobody to say that a pod does
   * not exist.
   */
  readonly alive: () => boolean;
};

/** Pods from the cache, and by GET where it does not have them (yet). */
export function createPodLookup({ client, cache, reader, waitMs, alive }: PodLookupOptions): PodLookup {
  const asking = new Map<string, Promise<Pod | undefined>>();

  /** Questions for the same pod share one request: who knows its uid asks after it was made. */
  function ask(namespace: string, name: string, uid = ''): Promise<Pod | undefined> {
    const key = `${namespace}/${name}/${uid}`;
    const asked = asking.get(key) ?? read(namespace, name).finally(() => asking.delete(key));
    asking.set(key, asked);
    return asked;
  }

  async function read(namespace: string, name: string): Promise<Pod | undefined> {
    try {
      const json = await client.askBytes({ path: `/api/v1/namespaces/${namespace}/pods/${name}` });
      const pod = await reader.readPod(json, namespace);
      if (pod) return pod;
    } catch (error) {
      // A node may get its own pods only: by this name there is none, or one of another node.
      if (isUnrelated(error)) return undefined;
      if (error instanceof ApiError && error.reason === 'notFound') return undefined;
      throw podSourceError(error, `pod ${namespace}/${name}`);
    }
    throw new PodSourceError('apiServerUnavailable', 'the API server sent a malformed pod');
  }

  return {
    async getPod({ containerName, ...ref }) {
      const complete = (pod: Pod | undefined): pod is Pod =>
        pod !== undefined &&
        (containerName === undefined || pod.containers.some(({ name }) => name === containerName));
      const known = cache.get(ref);
      if (complete(known)) return known;
      if (!isObjectName(ref.namespace) || !isObjectName(ref.name)) return undefined;
      const arrived = alive() ? await cache.waitFor(ref, complete, waitMs) : undefined;
      if (arrived) return arrived;
      const asked = await ask(ref.namespace, ref.name, ref.uid);
      if (asked?.uid === ref.uid) {
        cache.keepAwhile(asked);
        return asked;
      }
      const knownNow = cache.get(ref);
      if (knownNow || alive()) return knownNow;
      // Deleted while nobody was watching, perhaps: what is not known now may have been a pod a moment ago.
      throw notWatched(ref);
    },
    async findPod(namespace, name) {
      const known = cache.find(namespace, name);
      if (known) return known;
      if (!isObjectName(namespace) || !isObjectName(name)) return undefined;
      const asked = await ask(namespace, name);
      if (asked || alive()) return asked;
      throw notWatched({ namespace, name });
    },
  };
}

function notWatched({ namespace, name }: Pick<PodRef, 'namespace' | 'name'>): PodSourceError {
  return new PodSourceError(
    'apiServerUnavailable',
    `pod ${namespace}/${name}: not known, and the pods of this node are not being watched`,
  );
}
