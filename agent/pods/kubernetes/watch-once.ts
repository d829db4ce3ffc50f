import { type ApiClient, asApiError } from '../../kubernetes/api-client.ts';
import { createLineReader } from '../../kubernetes/json-pieces.ts';
import type { KubernetesTimings } from '../../kubernetes/timings.ts';
import type { ObjectReader } from './object-reader.ts';
import type { WatchEvent } from './watch-event.ts';

export type WatchQuestion = {
  readonly nodeName: string;
  /** The resourceVersion after which it begins. */
  readonly from: string;
};

export type WatchHandlers = {
  /** The API server took the watch. */
  readonly onOpen: () => void;
  readonly onEvent: (event: Exclude<WatchEvent, { type: 'error' }>) => void;
};

export type WatchEnd = { readonly how: 'ended' | 'silent'; readonly heard: boolean };

/**
 * One watch of the node's pods, until the API server ends it or nothing is heard for `silenceMs`.
 *
 * @throws ApiError also for an ERROR event within the watch
 */
export async function watchOnce(
  client: ApiClient,
  reader: ObjectReader,
  { nodeName, from }: WatchQuestion,
  { onOpen, onEvent }: WatchHandlers,
  bounds: Pick<KubernetesTimings, 'watchMs' | 'silenceMs'> & { readonly signal: AbortSignal },
): Promise<WatchEnd> {
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(), bounds.silenceMs);
  const signal = AbortSignal.any([bounds.signal, silence.signal]);
  let heard = false;
  let complete: Buffer[] = [];
  const lines = createLineReader(reader.maxBytes, {
    onPiece: (json) => void complete.push(json),
    onTooLarge: reader.tooLarge,
  });
  /** One after the other, however long one takes to read: the next event may be about the same pod. */
  async function readComplete(): Promise<void> {
    const read = complete;
    complete = [];
    for (const json of read) {
      const event = await reader.readEvent(json);
      if (event?.type === 'error') throw event.error;
      if (event) onEvent(event);
    }
  }
  const query = {
    watch: 'true',
    fieldSelector: `spec.nodeName=${nodeName}`,
    resourceVersion: from,
    allowWatchBookmarks: 'true',
    timeoutSeconds: String(lastingSeconds(bounds.watchMs)),
  };
  try {
    const response = await client.open({ path: '/api/v1/pods', query, signal });
    onOpen();
    for await (const chunk of response) {
      heard = true;
      timer.refresh();
      if (!Buffer.isBuffer(chunk)) continue;
      lines.push(chunk);
      await readComplete();
    }
    return { how: 'ended', heard };
  } catch (error) {
    if (silence.signal.aborted && !bounds.signal.aborted) return { how: 'silent', heard };
    throw asApiError(error, signal, bounds.silenceMs);
  } finally {
    clearTimeout(timer);
    silence.abort();
  }
}

/** By chance, so that the watches of all nodes do not end together. */
function lastingSeconds(watchMs: number): number {
  return Math.max(1, Math.round((watchMs * (1 + Math.random())) / 1_000));
}
