import type { Pod } from '../pods/pod-source.ts';
import type { PodCredentialsReader } from './pod-credentials.ts';
import type { AccessRequest } from './request.ts';

/** A read secret counts for a minute; what was allowed on it is looked at again then. */
const AFTER_MS = 60_000;
/** The API server or the pod's secret is in trouble: this is tried again. */
const AGAIN_MS = 30_000;
const MAX_WATCHED = 10_000;

export type SecretRecheck = {
  /**
   * A verdict allowed this request on secrets of this version, which came from a cache; undefined where it
   * did not.
   */
  watch(request: AccessRequest, cachedVersion: string | undefined): void;
  close(): void;
};

type Watched = { readonly request: AccessRequest; readonly version: string };

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
  const watched = new Map<string, NodeJS.Timeout>();

  async function look({ request, version }: Watched, key: string): Promise<void> {
    const { pod } = request;
    const read = await readCredentials(pod, '', { fresh: true, secretsOnly: true });
    if ('verdict' in read) return later({ request, version }, key, AGAIN_MS);
    watched.delete(key);
    if (read.version !== version) onChanged(pod);
  }

  function later(what: Watched, key: string, delayMs: number): void {
    watched.set(
      key,
      // What fails unexpectedly must not end the agent; the pod is looked at again as if it had changed.
      setTimeout(() => void look(what, key).catch(() => onChanged(what.request.pod)), delayMs).unref(),
    );
  }

  return {
    watch(request, version) {
      if (version === undefined) return;
      const key = `${request.pod.uid}/${version}`;
      if (watched.has(key) || watched.size >= MAX_WATCHED) return;
      later({ request, version }, key, afterMs);
    },
    close() {
      for (const timer of watched.values()) clearTimeout(timer);
      watched.clear();
    },
  };
}
