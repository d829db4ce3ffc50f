import { createRetryDelay, type RetryDelays } from '../retry-delay.ts';

export type ContainerLookupsOptions = {
  /** Asks the runtime for these containers; false when it did not answer. Must not throw. */
  readonly lookUp: (ids: readonly string[]) => Promise<boolean>;
  /** Was the container found? */
  readonly isKnown: (id: string) => boolean;
  /** It was looked for often enough, and was never found. */
  readonly onGivenUp: (id: string) => void;
  /** Milliseconds between tries to find one container. */
  readonly retries: readonly number[];
  /** After a runtime that did not answer. */
  readonly reconnect: RetryDelays;
};

export type ContainerLookups = {
  /** False when too many are being looked up. */
  add(id: string): boolean;
  /** Ends the search; false when there was none. */
  remove(id: string): boolean;
  size(): number;
  stop(): void;
};

type State =
  | { readonly phase: 'idle' | 'running' | 'stopped' }
  | { readonly phase: 'waiting'; readonly timer: NodeJS.Timeout };

/** How often a container was looked up in vain, and when (performance.now) it is due again. */
type Lookup = { readonly tries: number; readonly due: number };

/** Beyond this many ids a flood of events is answered by complete lists alone. */
const MAX_LOOKUPS = 4_096;

/**
 * The containers that events spoke of and that no list has shown yet: the runtime may tell of one before it
 * lists it. One round at a time; what arrives meanwhile waits for the next, so that a burst becomes a few
 * questions.
 */
export function createContainerLookups(options: ContainerLookupsOptions): ContainerLookups {
  const delay = createRetryDelay(options.reconnect);
  const lookups = new Map<string, Lookup>();
  let state: State = { phase: 'idle' };

  /** Begins a round unless one is under way. */
  function begin(): void {
    if (state.phase === 'running' || state.phase === 'stopped') return;
    if (state.phase === 'waiting') clearTimeout(state.timer);
    state = { phase: 'running' };
    void round();
  }

  async function round(): Promise<void> {
    const now = performance.now();
    const due = [...lookups].filter(([, lookup]) => lookup.due <= now).map(([id]) => id);
    const answered = due.length === 0 || (await options.lookUp(due));
    if (state.phase === 'stopped') return;
    if (answered) {
      delay.reset();
      due.forEach(conclude);
    }
    plan(answered ? undefined : delay.next());
  }

  function plan(delayMs: number | undefined): void {
    state = { phase: 'idle' };
    if (lookups.size === 0) return;
    let next = Number.POSITIVE_INFINITY;
    for (const { due } of lookups.values()) next = Math.min(next, due);
    const timer = setTimeout(begin, delayMs ?? Math.max(0, next - performance.now()));
    state = { phase: 'waiting', timer };
  }

  function conclude(id: string): void {
    const lookup = lookups.get(id);
    if (lookup === undefined) return;
    const retryMs = options.retries[lookup.tries];
    if (options.isKnown(id)) lookups.delete(id);
    else if (retryMs !== undefined) {
      lookups.set(id, { tries: lookup.tries + 1, due: performance.now() + retryMs });
    } else {
      lookups.delete(id);
      options.onGivenUp(id);
    }
  }

  return {
    add(id) {
      if (lookups.has(id)) return true;
      if (lookups.size >= MAX_LOOKUPS) return false;
      lookups.set(id, { tries: 0, due: 0 });
      begin();
      return true;
    },
    remove: (id) => lookups.delete(id),
    size: () => lookups.size,
    stop() {
      if (state.phase === 'waiting') clearTimeout(state.timer);
      state = { phase: 'stopped' };
    },
  };
}
