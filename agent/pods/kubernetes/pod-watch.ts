import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError } from '../../errors.ts';
import { type ApiClient, asApiError } from '../../kubernetes/api-client.ts';
import { createLineReader } from '../../kubernetes/json-pieces.ts';
import type { KubernetesTimings } from '../../kubernetes/timings.ts';
import { createRetryDelay } from '../../retry-delay.ts';
import type { Pod } from '../pod-source.ts';
import { listPods } from './pod-list.ts';
import type { PodReader } from './pod-reader.ts';
import { readWatchEvent, type WatchEvent } from './watch-event.ts';

export type PodWatchOptions = {
  readonly client: ApiClient;
  readonly reader: PodReader;
  readonly nodeName: string;
  readonly timings: KubernetesTimings;
  /** All pods of the node. */
  readonly onListed: (pods: readonly Pod[]) => void;
  readonly onPresent: (pod: Pod) => void;
  readonly onDeleted: (pod: Pod) => void;
  /** The API server answers again (undefined), or does not, and why. Not called twice with the same. */
  readonly onProblem: (problem: ApiError | undefined) => void;
};

export type PodWatch = { stop(): Promise<void> };

type WatchEnd = 'ended' | 'silent';

/** After so many watches in a row that said nothing at all the pods are listed again. */
const SILENT_WATCHES = 2;

/**
 * Lists the node's pods, then watches them for ever, as client-go's reflector does: a watch that ended goes on from the
 * last version that was seen, and only a version that the server no longer knows (410, as an answer or within the
 * watch) makes it list again. A server that was restored from a backup sends nothing to a version of its future; silence
 * ends that too. Lists are answered from the server's memory (resourceVersion 0, later the last that was seen), because
 * a read from etcd for one node's pods goes through those of all nodes.
 */
export function watchPods(options: PodWatchOptions): PodWatch {
  const { client, reader, nodeName, timings } = options;
  const stopping = new AbortController();
  const retry = createRetryDelay(timings.retry);
  let resourceVersion: string | undefined;
  let notOlderThan = '0';
  let silentWatches = 0;
  /** When the watch that is under way was answered; it is what makes the next try a first one again. */
  let openedAt: number | undefined;
  /** The problem last told; null before anything was. */
  let told: string | undefined | null = null;

  function tell(problem: ApiError | undefined): void {
    if (told === problem?.message || stopping.signal.aborted) return;
    told = problem?.message;
    options.onProblem(problem);
  }

  async function list(): Promise<string> {
    const bounds = { timeoutMs: timings.listMs, signal: stopping.signal };
    try {
      const listed = await listPods(client, reader, { nodeName, notOlderThan }, bounds);
      options.onListed(listed.pods);
      notOlderThan = listed.resourceVersion;
      return listed.resourceVersion;
    } catch (error) {
      // Neither the server's memory nor the pages of a list that has become too old: only etcd can tell.
      if (error instanceof ApiError && ['expired', 'tooNew'].includes(error.reason)) notOlderThan = '';
      throw error;
    }
  }

  function apply(event: WatchEvent): void {
    if (event.type === 'error') throw event.error;
    resourceVersion = event.resourceVersion;
    notOlderThan = event.resourceVersion;
    if (event.type === 'bookmark' || !event.pod) return;
    if (event.type === 'present') options.onPresent(event.pod);
    else options.onDeleted(event.pod);
  }

  /** Watches once, until the server ends it, nothing is heard for too long, or it fails. */
  async function watch(from: string): Promise<{ end: WatchEnd; heard: number }> {
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(), timings.silenceMs);
    const signal = AbortSignal.any([stopping.signal, silence.signal]);
    let heard = 0;
    const lines = createLineReader(reader.maxBytes, {
      onPiece: (json) => {
        const event = readWatchEvent(json, reader);
        if (event) apply(event);
      },
      onTooLarge: reader.tooLarge,
    });
    try {
      const response = await client.open({ path: '/api/v1/pods', query: watchQuery(from), signal });
      openedAt = performance.now();
      tell(undefined);
      for await (const chunk of response) {
        heard += 1;
        timer.refresh();
        if (Buffer.isBuffer(chunk)) lines.push(chunk);
      }
      return { end: 'ended', heard };
    } catch (error) {
      if (silence.signal.aborted && !stopping.signal.aborted) return { end: 'silent', heard };
      throw asApiError(error, signal, timings.silenceMs);
    } finally {
      clearTimeout(timer);
      silence.abort();
    }
  }

  function watchQuery(from: string): Record<string, string> {
    const lastingMs = timings.watchMs * (1 + Math.random());
    return {
      watch: 'true',
      fieldSelector: `spec.nodeName=${nodeName}`,
      resourceVersion: from,
      allowWatchBookmarks: 'true',
      timeoutSeconds: String(Math.max(1, Math.round(lastingMs / 1_000))),
    };
  }

  async function step(): Promise<void> {
    resourceVersion ??= await list();
    openedAt = undefined;
    const { end, heard } = await watch(resourceVersion);
    silentWatches = heard > 0 ? 0 : silentWatches + 1;
    if (end === 'ended' && !livedLong()) {
      if (heard === 0) throw new ApiError('unreachable', 'the API server ended the watch at once');
      await pause(retry.next());
    }
    if (silentWatches < SILENT_WATCHES) return;
    silentWatches = 0;
    resourceVersion = undefined;
  }

  function livedLong(): boolean {
    return openedAt !== undefined && performance.now() - openedAt >= timings.shortWatchMs;
  }

  async function pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: stopping.signal }).catch(() => undefined);
  }

  async function run(): Promise<void> {
    let expiredAt = Number.NEGATIVE_INFINITY;
    while (!stopping.signal.aborted) {
      try {
        await step();
        if (livedLong()) retry.reset();
      } catch (error) {
        if (stopping.signal.aborted) return;
        if (livedLong()) retry.reset();
        openedAt = undefined;
        const failure = asApiError(error, stopping.signal, 0);
        // Not a question of when: with another version the server may take it.
        if (failure.reason === 'badRequest' || failure.reason === 'tooNew') resourceVersion = undefined;
        if (failure.reason === 'expired') {
          resourceVersion = undefined;
          const recently = performance.now() - expiredAt < timings.retry.maxMs;
          expiredAt = performance.now();
          // It happens, and the list that follows mends it; only one after the other without end is a failure.
          if (!recently) continue;
        }
        tell(failure);
        await pause(Math.max(retry.next(), failure.retryAfterMs ?? 0));
      }
    }
  }

  const running = run();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
