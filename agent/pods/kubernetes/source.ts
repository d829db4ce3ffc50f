import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiError, PodSourceError } from '../../errors.ts';
import { createFairQueue } from '../../fair-queue.ts';
import type { ApiClient } from '../../kubernetes/api-client.ts';
import { DEFAULT_TIMINGS, type KubernetesTimings } from '../../kubernetes/timings.ts';
import type { NamespaceSource } from '../namespace-source.ts';
import type { Pod, PodSource } from '../pod-source.ts';
import type { ServiceAccountSource } from '../service-account-source.ts';
import { terminatingOf } from '../termination.ts';
import { createLargeObjectReader } from './large-objects/reader.ts';
import { createNamespaceSource } from './namespaces.ts';
import { createObjectReader } from './object-reader.ts';
import { createPodCache } from './pod-cache.ts';
import { whatToGrant } from './pod-errors.ts';
import { createPodLookup } from './pod-lookup.ts';
import { createPodReader } from './pod-reader.ts';
import { type PodWatch, watchPods } from './pod-watch.ts';
import { createSecretReader } from './secrets.ts';
import { createServiceAccountSource } from './service-accounts.ts';

export type KubernetesPodSourceOptions = {
  /** Not closed by the source: Events may go through it as well. */
  readonly client: ApiClient;
  /** The node as the API server names it. */
  readonly nodeName: string;
  /** One line when the API server stops answering, and why; and for every object that could not be read. */
  readonly onProblem: (message: string) => void;
  /** The pods are listed and watched, at first and after each interruption. */
  readonly onSynced?: (pods: number) => void;
  readonly timings?: Partial<KubernetesTimings>;
};

export type KubernetesPodSource = PodSource & {
  /** Pods, list items and watch lines that were too large or not understood, since the start. */
  passedOver(): number;
  readonly serviceAccounts: ServiceAccountSource;
  readonly namespaces: NamespaceSource;
};

const SWEEP_INTERVAL_MS = 30_000;
/** Reads of secrets and service accounts at once; half of the connections that the client has. */
const MAX_READS = 8;
/**
 * Of one namespace. All secrets of a node full of its pods are read at once; kubelet's tries of pods that are
 * refused, each with new reads before it is refused again, do not become a load for the API server.
 */
const READS_OF_NAMESPACE = { atOnce: 200, perSecond: 10 };

/**
 * Pods, secrets and service accounts from the API server: the node's pods are listed and watched, the others
 * read one by one when asked for, each namespace in its turn. `start` does not fail while the API server is
 * away: it waits a while for the first list, then lets the agent begin; until then every pod is asked for by
 * name.
 */
export function openKubernetesPodSource(options: KubernetesPodSourceOptions): KubernetesPodSource {
  const { client, nodeName, onProblem, onSynced } = options;
  const timings: KubernetesTimings = { ...DEFAULT_TIMINGS, ...options.timings };
  const changeListeners = new Set<() => void>();
  const podListeners = new Set<(pod: Pod) => void>();
  const cache = createPodCache(timings.departedMs);
  const podReader = createPodReader(onProblem);
  const large = createLargeObjectReader();
  const reader = createObjectReader(podReader, large);
  let watch: PodWatch | undefined;
  let sweeping: NodeJS.Timeout | undefined;
  let listed = false;
  let alive = false;
  /** `since` is for people only. */
  let trouble: { readonly since: Date; readonly text: string } | undefined;
  let announceListing: () => void = () => undefined;
  const firstListing = new Promise<void>((resolve) => {
    announceListing = resolve;
  });

  const queue = createFairQueue({ atOnce: MAX_READS, pace: READS_OF_NAMESPACE });
  const secrets = createSecretReader({
    client,
    large,
    queue,
    maxAgeMs: timings.secretMs,
    missingMs: timings.missingSecretMs,
    authorizerLagMs: timings.authorizerLagMs,
    alive: () => alive,
    onChanged: tellOfChange,
  });
  const serviceAccounts = createServiceAccountSource({
    client,
    queue,
    authorizerLagMs: timings.authorizerLagMs,
  });
  const lookup = createPodLookup({ client, cache, reader, waitMs: timings.waitForPodMs, alive: () => alive });

  function tellOfChange(): void {
    for (const listener of changeListeners) listener();
  }

  function tellOfPod(pod: Pod): void {
    for (const listener of podListeners) listener(pod);
  }

  function onListed(pods: readonly Pod[]): void {
    const { added, changed } = cache.replace(pods);
    const first = !listed;
    listed = true;
    announceListing();
    if (changed) tellOfChange();
    if (!first) for (const pod of added) tellOfPod(pod);
  }

  function onPresent(pod: Pod): void {
    const outcome = cache.put(pod);
    if (outcome !== 'same') tellOfChange();
    if (outcome === 'new') tellOfPod(pod);
  }

  function onWatchProblem(problem: ApiError | undefined): void {
    alive = problem === undefined;
    if (problem === undefined) {
      trouble = undefined;
      onSynced?.(cache.size());
      return;
    }
    const text = `apiServerUnavailable: ${problem.message}${whatToGrant(problem)}`;
    trouble = { since: trouble?.since ?? new Date(), text };
    onProblem(text);
  }

  return {
    async start() {
      if (!/^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/.test(nodeName)) {
        throw new PodSourceError(
          'apiServerUnavailable',
          `${JSON.stringify(nodeName)} is not a valid node name`,
        );
      }
      watch = watchPods({
        client,
        reader,
        nodeName,
        timings,
        onListed,
        onPresent,
        onDeleted: cache.remove,
        onProblem: onWatchProblem,
      });
      sweeping = setInterval(() => secrets.sweep(cache.namesSecret), SWEEP_INTERVAL_MS);
      sweeping.unref();
      const patience = new AbortController();
      const waited = sleep(timings.startMs, undefined, { signal: patience.signal }).catch(() => undefined);
      await Promise.race([firstListing, waited]);
      patience.abort();
    },
    async stop() {
      clearInterval(sweeping);
      changeListeners.clear();
      podListeners.clear();
      announceListing();
      await watch?.stop();
    },
    problem() {
      if (trouble) return `${trouble.text} (since ${trouble.since.toISOString()})`;
      if (!listed) return 'apiServerUnavailable: the pods have not been listed yet';
      return alive ? undefined : 'apiServerUnavailable: the pods are listed and not watched yet';
    },
    getPod: lookup.getPod,
    findPod: lookup.findPod,
    getSecret: (namespace, name, read) => secrets.get(namespace, name, read?.fresh ?? false),
    terminating: () => (listed ? terminatingOf(cache.all()) : undefined),
    onChange(listener) {
      changeListeners.add(listener);
      return () => changeListeners.delete(listener);
    },
    onPod(listener) {
      podListeners.add(listener);
      return () => podListeners.delete(listener);
    },
    serviceAccounts,
    namespaces: createNamespaceSource(client),
    passedOver: podReader.passedOver,
  };
}
