import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError } from '../../errors.ts';
import { type ApiClient, asApiError } from '../../kubernetes/api-client.ts';
import type { KubernetesTimings } from '../../kubernetes/timings.ts';
import { createRetryDelay } from '../../retry-delay.ts';
import type { Pod } from '../pod-source.ts';
import type { ObjectReader } from './object-reader.ts';
import { listPods } from './pod-list.ts';
import {
  advance,
  FIRST_STATE,
  type ListVersion,
  type ReflectorOutcome,
  type ReflectorState,
} from './reflector-state.ts';
import type { WatchEvent } from './watch-event.ts';
import { watchOnce } from './watch-once.ts';

export type PodWatchOptions = {
  readonly client: ApiClient;
  readonly reader: ObjectReader;
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

type Settled = { readonly outcome: ReflectorOutcome; readonly failure?: ApiError };

/**
 * Lists the node's pods, then watches them until it is stopped. What is asked when is decided in
 * reflector-state.ts; here it is asked, and the pauses are kept. The first list is answered from the API
 * server's memory, because a read from etcd for one node's pods goes through those of all nodes.
 */
export function watchPods(options: PodWatchOptions): PodWatch {
  const { client, reader, nodeName, timings } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  const retry = createRetryDelay(timings.retry);
  const report = onlyChanges((problem: ApiError | undefined) => {
    if (!signal.aborted) options.onProblem(problem);
  });

  async function list(version: ListVersion): Promise<Settled> {
    try {
      const bounds = { totalMs: timings.listMs, silenceMs: timings.listSilenceMs, signal };
      const listed = await listPods(client, reader, { nodeName, version }, bounds);
      options.onListed(listed.pods);
      return { outcome: { kind: 'listed', resourceVersion: listed.resourceVersion } };
    } catch (error) {
      const failure = asApiError(error, signal, 0);
      return { outcome: { kind: 'listFailed', reason: failure.reason }, failure };
    }
  }

  async function watch(from: string): Promise<Settled> {
    let lastSeen = from;
    let openedAt = Number.POSITIVE_INFINITY;
    const livedLong = (): boolean => performance.now() - openedAt >= timings.shortWatchMs;
    const handlers = {
      onOpen() {
        openedAt = performance.now();
        report(undefined);
      },
      onEvent(event: Exclude<WatchEvent, { type: 'error' }>) {
        lastSeen = event.resourceVersion;
        if (event.type === 'present' && event.pod) options.onPresent(event.pod);
        if (event.type === 'deleted' && event.pod) options.onDeleted(event.pod);
      },
    };
    try {
      const { how, heard } = await watchOnce(client, reader, { nodeName, from }, handlers, {
        ...timings,
        signal,
      });
      const ended = livedLong() ? 'inOrder' : 'tooSoon';
      const failure = new ApiError('unreachable', 'the API server ended the watch at once');
      const outcome = { kind: 'watchEnded', how: how === 'silent' ? how : ended, heard, lastSeen } as const;
      return { outcome, failure };
    } catch (error) {
      const failure = asApiError(error, signal, 0);
      return { outcome: { kind: 'watchFailed', reason: failure.reason, lastSeen }, failure };
    } finally {
      if (livedLong()) retry.reset();
    }
  }

  async function pauseAfter(failure: ApiError | undefined): Promise<void> {
    const asked = Math.min(failure?.retryAfterMs ?? 0, timings.retry.maxMs);
    await sleep(Math.max(retry.next(), asked), undefined, { signal }).catch(() => undefined);
  }

  async function run(): Promise<void> {
    for (let state: ReflectorState = FIRST_STATE; !signal.aborted; ) {
      const { next } = state;
      const { outcome, failure } = await (next.kind === 'list' ? list(next.version) : watch(next.from));
      if (signal.aborted) return;
      const after = advance(state, outcome, { now: performance.now(), relistMs: timings.retry.maxMs });
      state = after.state;
      if (after.delay === 'trouble') report(failure);
      if (after.delay !== 'none') await pauseAfter(failure);
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

/** Passes on a problem, or its end, unless it is what was passed on last. */
function onlyChanges(
  listener: (problem: ApiError | undefined) => void,
): (problem: ApiError | undefined) => void {
  let last: { readonly message: string | undefined } | undefined;
  return (problem) => {
    if (last && last.message === problem?.message) return;
    last = { message: problem?.message };
    listener(problem);
  };
}
