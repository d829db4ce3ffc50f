import { RuntimeError } from '../errors.ts';
import type { RetryDelays } from '../retry-delay.ts';
import { createContainerLedger, type LedgerCallbacks } from './container-ledger.ts';
import { createContainerLookups } from './container-lookups.ts';
import type { RuntimeEvents } from './cri-client.ts';
import type { ContainerEvent } from './cri-messages.ts';
import { keepEventStream } from './event-stream.ts';
import { createRepeatedTask } from './repeated-task.ts';
import type { Runtime } from './runtime.ts';

export type ContainerWatchOptions = LedgerCallbacks & {
  readonly client: Pick<RuntimeEvents, 'subscribe'> & Pick<Runtime, 'listContainers'>;
  /** Had an earlier run of the agent seen this container? Asked about those of the first list. */
  readonly wasSeen: (id: string) => boolean;
  /** Milliseconds from one list to the next while there are events; 30 s when left out. */
  readonly relistIntervalMs?: number;
  /** The same where the runtime has no events; 10 s when left out. */
  readonly pollIntervalMs?: number;
  /** Events spoke of a container that was never listed: it was gone before anybody could look. */
  readonly onGone?: (id: string) => void;
  readonly onMalformedEvent?: () => void;
  readonly onListFailed?: (error: RuntimeError) => void;
  readonly timing?: Partial<WatchTiming>;
};

/** Milliseconds; the defaults are what a node wants, tests are in more of a hurry. */
export type WatchTiming = {
  /** Tries to find a container that an event spoke of and the list does not show yet. */
  readonly lookupRetries: readonly number[];
  /**
   * A list this long after subscribing: when the runtime begins to record events for a new stream it does
   * not say.
   */
  readonly settleMs: number;
  readonly reconnect: RetryDelays;
  readonly unsupported: RetryDelays;
  readonly minStreamLifeMs: number;
};

export type ContainerWatchHealth = {
  /** The last thing that was asked of the runtime was answered. */
  readonly connected: boolean;
  /** Undefined until it is known. */
  readonly eventsSupported: boolean | undefined;
  /** Milliseconds since the epoch of the last complete list; undefined before the first. */
  readonly lastListAt: number | undefined;
  /** Has there been a complete list? Until then nothing is known of what runs. */
  readonly synced: boolean;
  /** Containers that exist, and those that events spoke of and that are being looked up. */
  readonly containers: number;
  readonly pendingLookups: number;
};

export type ContainerWatch = {
  health(): ContainerWatchHealth;
  /** Lists all containers soon: whoever calls has a reason to think that some were missed. */
  relist(): void;
  stop(): void;
};

const defaultTiming: WatchTiming = {
  lookupRetries: [50, 100, 200, 400, 800],
  settleMs: 1_000,
  reconnect: { initialMs: 200, maxMs: 5_000 },
  unsupported: { initialMs: 10_000, maxMs: 300_000 },
  minStreamLifeMs: 1_000,
};

/** More lookups than this at once cost more than a list of everything. */
const MAX_SINGLE_LOOKUPS = 4;

/**
 * Tells of every container on the node once, as early as the runtime allows: subscribes to its events
 * first, lists second, and lists again at an interval, because events get lost (containerd 1.7 and CRI-O
 * deal each event to only one of several subscribers, containerd issue 7318). An event is never believed
 * further than that there is something to look up. Callbacks must not throw.
 */
export function watchContainers(options: ContainerWatchOptions): ContainerWatch {
  const timing = { ...defaultTiming, ...options.timing };
  const ledger = createContainerLedger(options, options.wasSeen);
  const stopping = new AbortController();
  const runtime: RuntimeFacts = { connected: false, eventsSupported: undefined, lastListAt: undefined };

  /** False when the runtime did not answer. */
  async function list(id?: string): Promise<boolean> {
    const listing = ledger.listingStarts();
    try {
      const containers = await options.client.listContainers(id === undefined ? undefined : { id });
      runtime.connected = true;
      if (stopping.signal.aborted) return true;
      ledger.listed(listing, containers, id === undefined);
      if (id === undefined) runtime.lastListAt = Date.now();
      return true;
    } catch (error) {
      ledger.listingFailed(listing);
      if (!(error instanceof RuntimeError)) throw error;
      runtime.connected = error.reason !== 'unreachable' && error.reason !== 'deadline';
      if (!stopping.signal.aborted) options.onListFailed?.(error);
      return false;
    }
  }

  const lists = createRepeatedTask({
    run: () => list(),
    intervalMs: () =>
      runtime.eventsSupported === false
        ? (options.pollIntervalMs ?? 10_000)
        : (options.relistIntervalMs ?? 30_000),
    retry: timing.reconnect,
  });

  const lookups = createContainerLookups({
    async lookUp(ids) {
      const answers = ids.length > MAX_SINGLE_LOOKUPS ? [list()] : ids.map(list);
      return !(await Promise.all(answers)).includes(false);
    },
    isKnown: ledger.knows,
    onGivenUp(id) {
      ledger.forget(id);
      options.onGone?.(id);
    },
    retries: timing.lookupRetries,
    reconnect: timing.reconnect,
  });

  function onEvent(event: ContainerEvent): void {
    runtime.connected = true;
    const { containerId: id } = event;
    if (ledger.event(event)) {
      if (lookups.add(id)) return;
      ledger.forget(id);
      lists.soon();
    } else if (event.type === 'deleted' && lookups.remove(id)) options.onGone?.(id);
  }

  const endStream = keepEventStream({
    subscribe: options.client.subscribe,
    onEvent,
    onMalformed: () => options.onMalformedEvent?.(),
    onSubscribed() {
      lists.soon();
      lists.soon(timing.settleMs);
    },
    onSupport(supported) {
      runtime.eventsSupported = supported;
      lists.replan();
    },
    onEnd(hasNone) {
      if (!hasNone) runtime.connected = false;
    },
    reconnect: timing.reconnect,
    unsupported: timing.unsupported,
    minLifeMs: timing.minStreamLifeMs,
  });

  return {
    health: () => ({
      ...runtime,
      synced: ledger.synced(),
      containers: ledger.size(),
      pendingLookups: lookups.size(),
    }),
    relist: () => lists.soon(),
    stop() {
      stopping.abort();
      endStream();
      lists.stop();
      lookups.stop();
    },
  };
}

/** What was last learnt of the runtime itself; see ContainerWatchHealth. */
type RuntimeFacts = {
  -readonly [Fact in 'connected' | 'eventsSupported' | 'lastListAt']: ContainerWatchHealth[Fact];
};
