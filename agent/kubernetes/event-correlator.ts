import { LRUCache } from 'lru-cache';

/** What an Event says of which pod; `message` names nothing that the tenant could not know. */
export type PodEvent = {
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
  /** The field it is about, as kubelet writes it: `spec.containers{app}`. */
  readonly fieldPath?: string;
  readonly reason: 'ImageAccessDenied' | 'ImageAccessUnverifiable' | 'FuseOpened' | 'FuseClosed';
  readonly message: string;
};

/** client-go's defaults (tools/record events_cache.go), which are kubelet's. */
const MAX_ENTRIES = 4_096;
const BURST = 25;
const REFILL_MS = 300_000;
const SIMILAR_EVENTS = 10;
const SIMILAR_WITHIN_MS = 600_000;
const COMBINED_PREFIX = '(combined from similar events): ';

export type EventCorrelator = {
  /**
   * The event as it is to be sent, its `key` the same for those that only raise a count; undefined where
   * there were too many.
   */
  correlate(event: PodEvent): { readonly key: string; readonly event: PodEvent } | undefined;
};

/**
 * Keeps Events few, as client-go's correlator does: of one pod 25 at once and then one every 5 minutes; more
 * than 10 different messages of one kind within 10 minutes become one that says so. `now` in ms, of a clock
 * that never jumps.
 */
export function createEventCorrelator(now: () => number): EventCorrelator {
  const buckets = new LRUCache<string, { tokens: number; at: number }>({ max: MAX_ENTRIES });
  const similar = new LRUCache<string, { messages: Set<string>; at: number }>({ max: MAX_ENTRIES });

  function admitted(pod: PodEvent['pod']): boolean {
    const key = JSON.stringify([pod.namespace, pod.name, pod.uid]);
    const bucket = buckets.get(key) ?? { tokens: BURST, at: now() };
    const tokens = Math.min(BURST, bucket.tokens + (now() - bucket.at) / REFILL_MS);
    const enough = tokens >= 1;
    buckets.set(key, { tokens: enough ? tokens - 1 : tokens, at: now() });
    return enough;
  }

  function combined(event: PodEvent): { key: string; event: PodEvent } {
    const { pod, fieldPath, reason, message } = event;
    const kind = JSON.stringify([pod.namespace, pod.name, pod.uid, fieldPath, reason]);
    const seen = similar.get(kind);
    const group =
      seen && now() - seen.at <= SIMILAR_WITHIN_MS ? seen : { messages: new Set<string>(), at: 0 };
    group.at = now();
    const many = group.messages.size >= SIMILAR_EVENTS && !group.messages.has(message);
    if (!many) group.messages.add(message);
    similar.set(kind, group);
    if (many) return { key: kind, event: { ...event, message: COMBINED_PREFIX + message } };
    return { key: JSON.stringify([kind, message]), event };
  }

  return {
    correlate(event) {
      const sent = combined(event);
      return admitted(event.pod) ? sent : undefined;
    },
  };
}
