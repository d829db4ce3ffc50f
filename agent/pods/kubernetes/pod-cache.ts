import { LRUCache } from 'lru-cache';
import type { Pod } from '../pod-source.ts';

export type PodRef = { readonly namespace: string; readonly name: string; readonly uid: string };

export type PodCache = {
  /** By namespace, name and uid: a mirror pod's annotation could claim any uid. */
  get(ref: PodRef): Pod | undefined;
  /** A pod that runs on the node as far as is known; not one that is gone. */
  find(namespace: string, name: string): Pod | undefined;
  /** Resolves with the pod as soon as it is here and passes the test, undefined after `waitMs`. */
  waitFor(ref: PodRef, test: (pod: Pod) => boolean, waitMs: number): Promise<Pod | undefined>;
  /** Whether a pod of the node, or one that has just left it, names this secret. */
  namesSecret(namespace: string, name: string): boolean;
  /** A pod of the node; says whether what a verdict needs of it is new or different. */
  put(pod: Pod): 'new' | 'changed' | 'same';
  /** Gone from the API, but its containers may still be being judged. */
  remove(ref: PodRef): void;
  /** Read beside the watch: kept as long as one that is gone, and never in place of what the watch says. */
  keepAwhile(pod: Pod): void;
  /** All pods there are; returns those that are new, and whether anything is different at all. */
  replace(pods: readonly Pod[]): { readonly added: readonly Pod[]; readonly changed: boolean };
  /** Those that are on the node as far as is known, without those that are gone. */
  all(): readonly Pod[];
  size(): number;
};

const MAX_DEPARTED = 2_000;

/**
 * The pods of one node, without anything of them that no verdict needs. `departedMs` is how long a gone pod
 * is still found.
 */
export function createPodCache(departedMs: number): PodCache {
  const pods = new Map<string, Pod>();
  const departed = new LRUCache<string, Pod>({ max: MAX_DEPARTED, ttl: departedMs });
  const waiters = new Map<string, Set<(pod: Pod) => void>>();

  function get(ref: PodRef): Pod | undefined {
    const key = keyOf(ref);
    return pods.get(key) ?? departed.get(key);
  }

  function put(pod: Pod): 'new' | 'changed' | 'same' {
    const key = keyOf(pod);
    const before = pods.get(key);
    pods.set(key, pod);
    departed.delete(key);
    for (const waiter of waiters.get(key) ?? []) waiter(pod);
    if (!before) return 'new';
    return judgedOf(before) === judgedOf(pod) ? 'same' : 'changed';
  }

  function remove(ref: PodRef): void {
    const key = keyOf(ref);
    const pod = pods.get(key);
    if (!pod) return;
    pods.delete(key);
    departed.set(key, pod);
  }

  return {
    get,
    put,
    remove,
    find(namespace, name) {
      for (const pod of pods.values()) if (pod.namespace === namespace && pod.name === name) return pod;
      return undefined;
    },
    waitFor(ref, test, waitMs) {
      const key = keyOf(ref);
      return new Promise((resolve) => {
        const waiting = waiters.get(key) ?? new Set();
        const end = (pod: Pod | undefined): void => {
          clearTimeout(timer);
          waiting.delete(waiter);
          if (waiting.size === 0) waiters.delete(key);
          resolve(pod);
        };
        const waiter = (pod: Pod): void => {
          if (test(pod)) end(pod);
        };
        const timer = setTimeout(end, waitMs, undefined);
        waiters.set(key, waiting.add(waiter));
      });
    },
    namesSecret(namespace, name) {
      const names = (pod: Pod): boolean => pod.namespace === namespace && pod.imagePullSecrets.includes(name);
      return [...pods.values()].some(names) || [...departed.values()].some(names);
    },
    keepAwhile(pod) {
      if (!pods.has(keyOf(pod))) departed.set(keyOf(pod), pod);
    },
    replace(listed) {
      const keys = new Set(listed.map(keyOf));
      const gone = [...pods.values()].filter((pod) => !keys.has(keyOf(pod)));
      for (const pod of gone) remove(pod);
      const outcomes = listed.map((pod) => ({ pod, outcome: put(pod) }));
      return {
        added: outcomes.filter(({ outcome }) => outcome === 'new').map(({ pod }) => pod),
        changed: gone.length > 0 || outcomes.some(({ outcome }) => outcome !== 'same'),
      };
    },
    all: () => [...pods.values()],
    size: () => pods.size,
  };
}

/** What a verdict needs of a pod, to be compared. */
function judgedOf({ termination: _, ...judged }: Pod): string {
  return JSON.stringify(judged);
}

function keyOf({ namespace, name, uid }: PodRef): string {
  return `${namespace}/${name}/${uid}`;
}
