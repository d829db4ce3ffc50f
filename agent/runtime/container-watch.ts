import { RuntimeError } from '../errors.ts';
import { createRetryDelay, type RetryDelays } from '../retry-delay.ts';
import { createContainerLedger, type LedgerCallbacks } from './container-ledger.ts';
import type { ContainerEventSource } from './cri-client.ts';
import type { ContainerEvent } from './cri-messages.ts';
import { keepEventStream } from './event-stream.ts';
import type { Runtime } from './runtime.ts';

export type ContainerWatchOptions = LedgerCallbacks & {
  readonly client: ContainerEventSource & Pick<Runtime, 'listContainers'>;
  /** When the agent started, in ns since the epoch: what is older and in the first list is preexisting. */
  readonly startedAt: bigint;
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
  /** A list this long after subscribing: when the runtime begins to record events for a new stream it does not say. */
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
/** Beyond this many ids a flood of events is answered by complete lists alone. */
const MAX_PENDING = 4_096;

/**
 * Tells of every container on the node once, as early as the runtime allows: subscribes to its events first, lists
 * second, and lists again at an interval, because events get lost (containerd 1.7 and CRI-O deal each event to only
 * one of several subscribers, containerd issue 7318). An event is never believed further than that there is something
 * to look up. Callbacks must not throw.
 */
export function watchContainers(options: ContainerWatchOptions): ContainerWatch {
  const timing = { ...defaultTiming, ...options.timing };
  const relistIntervalMs = options.relistIntervalMs ?? 30_000;
  const pollIntervalMs = options.pollIntervalMs ?? 10_000;
  const ledger = createContainerLedger(options, options.startedAt);
  const listDelay = createRetryDelay(timing.reconnect);
  const lookupDelay = createRetryDelay(timing.reconnect);
  /** Container id -> how often it was looked up in vain, and when (performance.now) it is due again. */
  const pending = new Map<string, { tries: number; due: number }>();
  let relistTimer: NodeJS.Timeout | undefined;
  let settleTimer: NodeJS.Timeout | undefined;
  let lookupTimer: NodeJS.Timeout | undefined;
  let relisting = false;
  let relistAgain = false;
  let lookingUp = false;
  let connected = false;
  let eventsSupported: boolean | undefined;
  let lastListAt: number | undefined;
  let stopped = false;

  /** False when the runtime did not answer. */
  async function list(id?: string): Promise<boolean> {
    const listing = ledger.listingStarts();
    try {
      const containers = await options.client.listContainers(id === undefined ? undefined : { id });
      connected = true;
      if (stopped) return true;
      ledger.listed(listing, containers, id === undefined);
      if (id === undefined) lastListAt = Date.now();
      return true;
    } catch (error) {
      ledger.listingFailed(listing);
      if (!(error instanceof RuntimeError)) throw error;
      connected = error.reason !== 'unreachable' && error.reason !== 'deadline';
      if (!stopped) options.onListFailed?.(error);
      return false;
    }
  }

  async function relist(): Promise<void> {
    if (stopped) return;
    if (relisting) {
      relistAgain = true;
      return;
    }
    clearTimeout(relistTimer);
    relisting = true;
    relistAgain = false;
    const answered = await list();
    relisting = false;
    if (answered) listDelay.reset();
    scheduleRelist(answered);
  }

  function scheduleRelist(answered: boolean): void {
    clearTimeout(relistTimer);
    if (stopped || relisting) return;
    const interval = eventsSupported === false ? pollIntervalMs : relistIntervalMs;
    const delay = answered ? (relistAgain ? 0 : interval) : Math.min(listDelay.next(), interval);
    relistTimer = setTimeout(relist, delay);
  }

  function onEvent(event: ContainerEvent): void {
    connected = true;
    const { containerId: id } = event;
    const mustLookUp = ledger.event(event);
    if (!mustLookUp) {
      if (event.type === 'deleted' && pending.delete(id)) options.onGone?.(id);
      return;
    }
    if (pending.has(id)) return;
    if (pending.size >= MAX_PENDING) {
      ledger.forget(id);
      void relist();
      return;
    }
    pending.set(id, { tries: 0, due: 0 });
    void lookUp();
  }

  /** One round at a time; what arrives meanwhile waits for the next, so that a burst becomes a few lists. */
  async function lookUp(): Promise<void> {
    if (lookingUp) return;
    lookingUp = true;
    clearTimeout(lookupTimer);
    let waitMs: number | undefined;
    while (!stopped && waitMs === undefined) {
      const now = performance.now();
      const due = [...pending].filter(([, lookup]) => lookup.due <= now).map(([id]) => id);
      if (due.length === 0) break;
      const answers =
        due.length > MAX_SINGLE_LOOKUPS ? [await list()] : await Promise.all(due.map((id) => list(id)));
      if (answers.includes(false)) waitMs = lookupDelay.next();
      else {
        lookupDelay.reset();
        settleLookups(due);
      }
    }
    lookingUp = false;
    if (stopped || pending.size === 0) return;
    const next = Math.min(...[...pending.values()].map(({ due }) => due));
    lookupTimer = setTimeout(lookUp, waitMs ?? Math.max(0, next - performance.now()));
  }

  function settleLookups(ids: readonly string[]): void {
    const now = performance.now();
    for (const id of ids) {
      const lookup = pending.get(id);
      if (lookup === undefined) continue;
      const delay = timing.lookupRetries[lookup.tries];
      if (ledger.knows(id)) pending.delete(id);
      else if (delay !== undefined) pending.set(id, { tries: lookup.tries + 1, due: now + delay });
      else {
        pending.delete(id);
        ledger.forget(id);
        if (!stopped) options.onGone?.(id);
      }
    }
  }

  const endStream = keepEventStream({
    source: options.client,
    onEvent,
    onMalformed: () => options.onMalformedEvent?.(),
    onSubscribed() {
      void relist();
      clearTimeout(settleTimer);
      settleTimer = setTimeout(() => {
        if (eventsSupported !== false) void relist();
      }, timing.settleMs);
    },
    onSupport(supported) {
      eventsSupported = supported;
      scheduleRelist(true);
    },
    onBroken() {
      connected = false;
    },
    reconnect: timing.reconnect,
    unsupported: timing.unsupported,
    minLifeMs: timing.minStreamLifeMs,
  });

  return {
    health: () => ({
      connected,
      eventsSupported,
      lastListAt,
      synced: ledger.synced(),
      containers: ledger.size(),
      pendingLookups: pending.size,
    }),
    relist: () => void relist(),
    stop() {
      stopped = true;
      endStream();
      clearTimeout(relistTimer);
      clearTimeout(settleTimer);
      clearTimeout(lookupTimer);
    },
  };
}
