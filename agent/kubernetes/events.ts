import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { ApiError } from '../errors.ts';
import { type ApiClient, asApiError, isObjectName } from './api-client.ts';
import { createEventCorrelator, type PodEvent } from './event-correlator.ts';

export type Events = {
  /** Puts an Event on the pod, soon; never waits and never throws. */
  report(event: PodEvent): void;
  counts(): EventCounts;
  /** Sends what is queued, at most for so long, and ends. */
  close(graceMs: number): Promise<void>;
};

export type EventCounts = {
  readonly sent: number;
  /** Of one pod there were too many. */
  readonly limited: number;
  /** The queue was full, the API server refused it, or did not answer for too long. */
  readonly dropped: number;
};

export type EventsOptions = {
  readonly client: ApiClient;
  readonly nodeName: string;
  /** One line when Events begin not to arrive. */
  readonly onProblem: (message: string) => void;
  readonly maxQueued?: number;
  /** Between tries of one Event, and how many; client-go's: 10 s, 12. */
  readonly retryMs?: number;
  readonly tries?: number;
  /** Wall clock for timestamps, ms. */
  readonly now?: () => number;
  /** For the limits, ms. */
  readonly monotonicNow?: () => number;
};

type Queued = {
  readonly key: string;
  readonly event: PodEvent;
  readonly at: number;
  /** Should it become a new Event. */
  readonly name: string;
};
type Recorded = { readonly name: string; readonly count: number; readonly firstTimestamp: string };

const COMPONENT = 'pullwarden';
/** The API's bound on the note of an events.k8s.io Event; the core one has none. */
const MAX_MESSAGE = 1_024;
const MAX_RECORDED = 4_096;
/** Failures after which the same Event may yet arrive. */
const PASSING = new Set([
  'identityUnusable',
  'unreachable',
  'timeout',
  'unauthorized',
  'serverError',
  'tooManyRequests',
]);

/**
 * Kubernetes Events on pods, in core v1 as kubelet writes them, one request at a time: what was said before
 * raises the count of that Event (PATCH), anything else is a new one (POST). Needs the verbs create and patch
 * on events.
 */
export function createEvents(options: EventsOptions): Events {
  const {
    client,
    nodeName,
    onProblem,
    maxQueued = 1_000,
    retryMs = 10_000,
    tries = 12,
    now = Date.now,
    monotonicNow = () => performance.now(),
  } = options;
  const correlator = createEventCorrelator(monotonicNow);
  const recorded = new LRUCache<string, Recorded>({ max: MAX_RECORDED });
  const queue: Queued[] = [];
  const ending = new AbortController();
  let closed = false;
  let working: Promise<void> | undefined;
  let serial = 0;
  let reported = '';
  const counts = { sent: 0, limited: 0, dropped: 0 };

  /** As client-go names them: unique without asking the API server for a name. */
  function nameOf(pod: PodEvent['pod'], at: number): string {
    serial = (serial + 1) % 1_000_000;
    const stem = pod.name.slice(0, 220).replace(/[^a-z0-9]+$/, '');
    return `${stem}.${(BigInt(at) * 1_000_000n + BigInt(serial)).toString(16)}`;
  }

  async function post({ key, event, at, name }: Queued): Promise<void> {
    const { pod } = event;
    const timestamp = timestampOf(at);
    const source = { component: COMPONENT, host: nodeName };
    const object = {
      kind: 'Event',
      apiVersion: 'v1',
      metadata: { name, namespace: pod.namespace },
      involvedObject: {
        kind: 'Pod',
        apiVersion: 'v1',
        ...pod,
        ...(event.fieldPath && { fieldPath: event.fieldPath }),
      },
      reason: event.reason,
      message: event.message.slice(0, MAX_MESSAGE),
      source,
      firstTimestamp: timestamp,
      lastTimestamp: timestamp,
      count: 1,
      type: 'Warning',
      reportingComponent: COMPONENT,
      reportingInstance: nodeName,
    };
    const body = { contentType: 'application/json', object };
    const path = eventsPath(pod.namespace);
    await client.ask({ method: 'POST', path, body, signal: ending.signal }).catch((error: unknown) => {
      // The answer to an earlier try was lost: the name is nobody else's.
      if (!(error instanceof ApiError) || error.reason !== 'conflict') throw error;
    });
    recorded.set(key, { name, count: 1, firstTimestamp: timestamp });
  }

  async function raise(queued: Queued, before: Recorded): Promise<void> {
    const count = before.count + 1;
    const body = {
      contentType: 'application/strategic-merge-patch+json',
      object: {
        count,
        lastTimestamp: timestampOf(queued.at),
        message: queued.event.message.slice(0, MAX_MESSAGE),
      },
    };
    const path = `${eventsPath(queued.event.pod.namespace)}/${before.name}`;
    try {
      await client.ask({ method: 'PATCH', path, body, signal: ending.signal });
      recorded.set(queued.key, { ...before, count });
    } catch (error) {
      // Events are kept for an hour by default; then this is a new one.
      if (!(error instanceof ApiError) || error.reason !== 'notFound') throw error;
      recorded.delete(queued.key);
      await post(queued);
    }
  }

  async function send(queued: Queued): Promise<void> {
    for (let left = tries; ; left -= 1) {
      try {
        const before = recorded.get(queued.key);
        await (before ? raise(queued, before) : post(queued));
        counts.sent += 1;
        reported = '';
        return;
      } catch (error) {
        const { message, reason, retryAfterMs = 0 } = asApiError(error, ending.signal, 0);
        if (!ending.signal.aborted && reported !== message)
          onProblem(`an Event was not accepted: ${message}`);
        reported = message;
        if (left <= 1 || !PASSING.has(reason) || ending.signal.aborted) {
          counts.dropped += 1;
          return;
        }
        const delay = Math.max(retryMs * (0.5 + Math.random() / 2), retryAfterMs);
        await sleep(delay, undefined, { signal: ending.signal }).catch(() => undefined);
      }
    }
  }

  async function work(): Promise<void> {
    for (let next = queue.shift(); next; next = queue.shift()) await send(next);
    working = undefined;
  }

  return {
    report(event) {
      if (closed || !isObjectName(event.pod.namespace) || !isObjectName(event.pod.name)) {
        counts.dropped += 1;
        return;
      }
      const correlated = correlator.correlate(event);
      if (!correlated) counts.limited += 1;
      else if (queue.length >= maxQueued) counts.dropped += 1;
      else {
        const at = now();
        queue.push({ ...correlated, at, name: nameOf(event.pod, at) });
        working ??= work();
      }
    },
    counts: () => ({ ...counts }),
    async close(graceMs) {
      closed = true;
      const timer = setTimeout(() => ending.abort(), graceMs);
      await working;
      clearTimeout(timer);
      ending.abort();
    },
  };
}

function eventsPath(namespace: string): string {
  return `/api/v1/namespaces/${namespace}/events`;
}

/** metav1.Time: whole seconds. */
function timestampOf(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}
