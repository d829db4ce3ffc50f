import type { Pod } from '../pods/pod-source.ts';
import type { PodCredentialsReader } from './pod-credentials.ts';
import type { AccessRequest } from './request.ts';

/** A read secret counts for a minute; what was allowed on it is looked at again then. */
const AFTER_MS = 60_000;
/** The API server or the pod's secret is in trouble: this is tried again. */
const AGAIN_MS = 30_000;
/** Of secrets that the API server does not let the node read: their pods are gone (Node authorizer). */
const MAX_TRIES = 10;
const MAX_VERSIONS = 10_000;
/** As many pods of one namespace as a node could have. */
const MAX_PODS = 1_000;

export type SecretRecheck = {
  /**
   * A verdict allowed this request on secrets of this version, which came from a cache; undefined where it
   * did not.
   */
  watch(request: AccessRequest, cachedVersion: string | undefined): void;
  close(): void;
};

/** What was allowed on secrets of one version, by pod: one read of them answers for all. */
type Watched = {
  readonly requests: Map<string, AccessRequest>;
  readonly timer: NodeJS.Timeout;
  /** How often they may still turn out not to be readable. */
  tries: number;
};

/**
 * What was allowed on a cached secret is judged again when that secret, read afresh, turns out to be another.
 *
 * @param onChanged the containers of this pod are to be judged again
 */
export function createSecretRecheck(
  readCredentials: PodCredentialsReader,
  onChanged: (pod: Pod) => void,
  afterMs = AFTER_MS,
): SecretRecheck {
  const watched = new Map<string, Watched>();

  function watch(request: AccessRequest, version: string, delayMs: number, tries: number): void {
    // Not by the version alone: pods may name other secrets, which do not exist.
    const key = JSON.stringify([request.pod.imagePullSecrets, version]);
    const known = watched.get(key);
    if (known) {
      if (known.requests.size < MAX_PODS) known.requests.set(request.pod.uid, request);
      known.tries = Math.max(known.tries, tries);
      return;
    }
    if (watched.size >= MAX_VERSIONS) return;
    // What fails unexpectedly must not end the agent; the pods are looked at again as if all had changed.
    const timer = setTimeout(() => {
      const due = watched.get(key);
      // A pod that comes while the secrets are being read may have been allowed later than they were.
      watched.delete(key);
      const requests = [...(due?.requests.values() ?? [])];
      look(requests, version, due?.tries ?? 0).catch(() => changed(requests));
    }, delayMs).unref();
    watched.set(key, { requests: new Map([[request.pod.uid, request]]), timer, tries });
  }

  async function look(requests: readonly AccessRequest[], version: string, tries: number): Promise<void> {
    const [first] = requests;
    if (first === undefined) return;
    const read = await readCredentials(first.pod, '', { fresh: true, secretsOnly: true });
    if (!('verdict' in read)) {
      if (read.version !== version) changed(requests);
      return;
    }
    const left = read.reason === 'secretUnreadable' ? tries - 1 : tries;
    if (left > 0) for (const request of requests) watch(request, version, AGAIN_MS, left);
  }

  function changed(requests: readonly AccessRequest[]): void {
    for (const { pod } of requests) onChanged(pod);
  }

  return {
    watch(request, version) {
      if (version !== undefined) watch(request, version, afterMs, MAX_TRIES);
    },
    close() {
      for (const { timer } of watched.values()) clearTimeout(timer);
      watched.clear();
    },
  };
}
