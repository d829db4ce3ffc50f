import { LRUCache } from 'lru-cache';

/**
 * Who is served next of all that namespaces want of something bounded: a registry, the API server, a thread.
 * The namespace goes first that has had least. What it has had is the time that its tasks took, and a
 * surcharge for each whose result was not welcome: whoever asks for what is slow or refused falls behind, and
 * holds up nobody but itself.
 */
export type FairQueue = {
  /** Runs the task when it is its namespace's turn. Resolves and rejects as the task does. */
  run<Value>(namespace: string, task: () => Promise<Value>, how?: Manner<Value>): Promise<Value>;
  /** Tasks of the namespace whose turn has not come yet. */
  waiting(namespace: string): number;
  isIdle(): boolean;
};

export type Manner<Value> = {
  /** Goes before what is not urgent of its own namespace; by default it is. */
  readonly urgent?: boolean;
  /** By default every result is. */
  readonly isWelcome?: (value: Value) => boolean;
};

export type FairQueueOptions = {
  /** Tasks at once. */
  readonly atOnce: number;
  /** Tasks at once of one namespace; default: as many as there may be. */
  readonly ofNamespace?: number;
  readonly pace?: Pace;
  /** A task that takes longer than this (ms) goes on, but its place is another's. */
  readonly turnMs?: number;
  /** When no task has ended for this long (ms), they are run one at a time. */
  readonly silentMs?: number;
};

/** How many tasks of one namespace are begun: so many at once, and so many a second in the long run. */
export type Pace = { readonly atOnce: number; readonly perSecond: number };

type Waiting = { readonly urgent: boolean; readonly start: () => void };
type Place = { readonly namespace: string; readonly since: number };

/** What a task whose result is not welcome counts for besides its time, in ms. */
const SURCHARGE_MS = 1_000;
const MAX_NAMESPACES = 1_000;

/** @param now milliseconds, monotonic */
export function createFairQueue(
  options: FairQueueOptions,
  now: () => number = () => performance.now(),
): FairQueue {
  const { atOnce, ofNamespace = atOnce, turnMs, silentMs = Number.POSITIVE_INFINITY } = options;
  // Where two have had the same, the order decides: a namespace that was served goes to the end.
  const waiting = new Map<string, Waiting[]>();
  const places = new Set<Place>();
  /** Milliseconds that each namespace has had since nobody wanted anything. */
  const had = new LRUCache<string, number>({ max: MAX_NAMESPACES });
  const paces = createPaces(options.pace, now);
  let lastEnd = now();
  let timer: NodeJS.Timeout | undefined;

  const placesOf = (namespace: string): number =>
    [...places].filter((place) => place.namespace === namespace).length;

  function mayRun(): number {
    const oldest = Math.min(...[...places].map(({ since }) => since));
    return places.size > 0 && now() - Math.max(oldest, lastEnd) > silentMs ? 1 : atOnce;
  }

  function enqueue(namespace: string, task: Waiting): void {
    const tasks = waiting.get(namespace) ?? [];
    waiting.set(namespace, tasks);
    const at = task.urgent ? tasks.findIndex(({ urgent }) => !urgent) : -1;
    if (at === -1) tasks.push(task);
    else tasks.splice(at, 0, task);
    // Whoever comes now has not been short of anything before: it starts level with those that are there.
    if (!had.has(namespace)) had.set(namespace, leastHad());
  }

  function leastHad(): number {
    const active = [...waiting.keys(), ...[...places].map(({ namespace }) => namespace)];
    const amounts = active.flatMap((namespace) => had.peek(namespace) ?? []);
    return amounts.length > 0 ? Math.min(...amounts) : 0;
  }

  /** Of those that have a place left and whose pace allows it. */
  function nextNamespace(): string | undefined {
    let next: string | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const namespace of waiting.keys()) {
      const amount = had.peek(namespace) ?? 0;
      if (amount >= least || placesOf(namespace) >= ofNamespace || paces.pauseMs(namespace) > 0) continue;
      next = namespace;
      least = amount;
    }
    return next;
  }

  function serve(): void {
    while (places.size < mayRun()) {
      const namespace = nextNamespace();
      if (namespace === undefined) {
        serveAfterPause();
        return;
      }
      const tasks = waiting.get(namespace) ?? [];
      const first = tasks.shift();
      waiting.delete(namespace);
      if (tasks.length > 0) waiting.set(namespace, tasks);
      paces.begun(namespace);
      first?.start();
    }
  }

  function serveAfterPause(): void {
    const pauses = [...waiting.keys()].map(paces.pauseMs).filter((ms) => ms > 0);
    clearTimeout(timer);
    if (pauses.length > 0) timer = setTimeout(serve, Math.ceil(Math.min(...pauses)));
  }

  function leave(place: Place, surchargeMs: number): void {
    const { namespace, since } = place;
    const isItsTurn = places.delete(place);
    const tookMs = isItsTurn ? now() - since : 0;
    had.set(namespace, (had.get(namespace) ?? 0) + tookMs + surchargeMs);
    if (isIdle()) had.clear();
    else if (isItsTurn) serve();
  }

  async function runNow<Value>(
    namespace: string,
    task: () => Promise<Value>,
    isWelcome: (value: Value) => boolean,
  ): Promise<Value> {
    const place = { namespace, since: now() };
    places.add(place);
    const turn = turnMs === undefined ? undefined : setTimeout(() => leave(place, 0), turnMs);
    let surchargeMs = SURCHARGE_MS;
    try {
      const value = await task();
      if (isWelcome(value)) surchargeMs = 0;
      return value;
    } finally {
      clearTimeout(turn);
      lastEnd = now();
      leave(place, surchargeMs);
    }
  }

  const isIdle = (): boolean => places.size === 0 && waiting.size === 0;

  return {
    run(namespace, task, { urgent = true, isWelcome = () => true } = {}) {
      return new Promise((resolve, reject) => {
        const start = () => void runNow(namespace, task, isWelcome).then(resolve, reject);
        enqueue(namespace, { urgent, start });
        serve();
      });
    },
    waiting: (namespace) => waiting.get(namespace)?.length ?? 0,
    isIdle,
  };
}

function createPaces(pace: Pace | undefined, now: () => number) {
  /** When a namespace will have all of `atOnce` again, ms; one that is not here has it. */
  const wholeAt = new LRUCache<string, number>({ max: MAX_NAMESPACES });
  return {
    /** Milliseconds until its next task may begin. */
    pauseMs(namespace: string): number {
      if (pace === undefined) return 0;
      const missingMs = Math.max(0, (wholeAt.get(namespace) ?? 0) - now());
      return Math.max(0, missingMs - ((pace.atOnce - 1) * 1_000) / pace.perSecond);
    },
    begun(namespace: string): void {
      if (pace === undefined) return;
      wholeAt.set(namespace, Math.max(now(), wholeAt.get(namespace) ?? 0) + 1_000 / pace.perSecond);
    },
  };
}
