import { z } from 'zod';
import type { ApiError } from '../../errors.ts';
import { errorFromStatus } from '../../kubernetes/status.ts';
import type { Pod } from '../pod-source.ts';
import type { PodReader } from './pod-reader.ts';

export type WatchEvent =
  | { readonly type: 'present' | 'deleted'; readonly pod: Pod | undefined; readonly resourceVersion: string }
  | { readonly type: 'bookmark'; readonly resourceVersion: string }
  | { readonly type: 'error'; readonly error: ApiError };

const event = z.object({
  type: z.enum(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR']),
  object: z.unknown(),
});
const versioned = z.object({ metadata: z.object({ resourceVersion: z.string().min(1).max(128) }) });

/**
 * One line of a watch of pods (metav1.WatchEvent), parsed; undefined where it is not understood, which the
 * reader counts.
 */
export function readWatchEvent(line: unknown, reader: PodReader): WatchEvent | undefined {
  if (line === undefined) return undefined;
  const parsed = event.safeParse(line).data;
  if (!parsed) {
    reader.notUnderstood('the API server sent a malformed watch event');
    return undefined;
  }
  const { type, object } = parsed;
  if (type === 'ERROR') return { type: 'error', error: errorFromStatus(object, undefined) };
  const resourceVersion = versioned.safeParse(object).data?.metadata.resourceVersion;
  if (resourceVersion === undefined) {
    reader.notUnderstood('the API server sent a watch event without a resourceVersion');
    return undefined;
  }
  if (type === 'BOOKMARK') return { type: 'bookmark', resourceVersion };
  return { type: type === 'DELETED' ? 'deleted' : 'present', pod: reader.podOf(object), resourceVersion };
}
