/**
 * Who is served next, of all that is asked of others: pulls, registries, provider plugins. A registry answers
 * a bounded number of questions at once; of those that wait for it, the namespace goes first that has had
 * least of it. What a namespace has had is the time that its questions took, and a surcharge for each that
 * was not granted: one whose questions are refused or slow falls behind, and holds up nobody but itself.
 */

export type SharesSettings = {
  /** Questions at once per registry. */
  readonly perRegistry: number;
  /** Questions at once per registry of one namespace. */
  readonly perNamespace: number;
  /** Questions of one namespace that may wait, over all registries. */
  readonly maxWaiting: number;
};

export type Turn = {
  readonly registry: string;
  readonly namespace: string;
  /** Containers that start now go before those that ran already, within their namespace. */
  readonly urgent: boolean;
};

export type Shares = {
  /**
   * Does the work when it is its turn. Undefined, at once, where its namespace has too much waiting.
   *
   * @throws whatever the work throws
   */
  take<Result>(
    turn: Turn,
    work: () => Promise<Result>,
    isWelcome: (result: Result) => boolean,
  ): Promise<Result | undefined>;
  waiting(): number;
};

/** A registry that has not answered anything for this long (ms) is asked one thing at a time. */
const SILENT_MS = 2_000;
/** What a question that was not granted counts for besides its time, in ms. */
const SURCHARGE_MS = 1_000;

type Waiting = { readonly turn: Turn; readonly start: () => void };

type Registry = {
  readonly waiting: Map<string, Waiting[]>;
  /** Milliseconds that each namespace has had since the registry was last idle. */
  readonly had: Map<string, number>;
  readonly running: Map<symbol, { readonly namespace: string; readonly since: number }>;
  lastAnswer: number;
};

/** @param now milliseconds, monotonic */
export function createShares(settings: SharesSettings, now: () => number): Shares {
  const registries = new Map<string, Registry>();
  const waitingOf = new Map<string, number>();

  function registryFor(name: string): Registry {
    const known = registries.get(name);
    if (known) return known;
    const made: Registry = { waiting: new Map(), had: new Map(), running: new Map(), lastAnswer: now() };
    registries.set(name, made);
    return made;
  }

  function countWaiting(namespace: string, by: 1 | -1): void {
    const count = (waitingOf.get(namespace) ?? 0) + by;
    if (count === 0) waitingOf.delete(namespace);
    else waitingOf.set(namespace, count);
  }

  function serve(registry: Registry): void {
    while (registry.running.size < placesAt(registry)) {
      const next = takeNext(registry, settings.perNamespace);
      if (next === undefined) return;
      countWaiting(next.turn.namespace, -1);
      next.start();
    }
  }

  function placesAt({ running, lastAnswer }: Registry): number {
    const oldest = Math.min(...[...running.values()].map(({ since }) => since));
    const isSilent = running.size > 0 && now() - Math.max(oldest, lastAnswer) > SILENT_MS;
    return isSilent ? 1 : settings.perRegistry;
  }

  async function run<Result>(
    registry: Registry,
    { namespace, registry: name }: Turn,
    work: () => Promise<Result>,
    isWelcome: (result: Result) => boolean,
  ): Promise<Result> {
    const me = Symbol(namespace);
    const since = now();
    let surcharge = SURCHARGE_MS;
    registry.running.set(me, { namespace, since });
    try {
      const result = await work();
      if (isWelcome(result)) surcharge = 0;
      return result;
    } finally {
      registry.running.delete(me);
      registry.lastAnswer = now();
      registry.had.set(namespace, (registry.had.get(namespace) ?? 0) + now() - since + surcharge);
      if (registry.running.size === 0 && registry.waiting.size === 0) registries.delete(name);
      else serve(registry);
    }
  }

  return {
    take(turn, work, isWelcome) {
      if ((waitingOf.get(turn.namespace) ?? 0) >= settings.maxWaiting) return Promise.resolve(undefined);
      const registry = registryFor(turn.registry);
      return new Promise((resolve, reject) => {
        const start = () => void run(registry, turn, work, isWelcome).then(resolve, reject);
        enqueue(registry, { turn, start });
        countWaiting(turn.namespace, 1);
        serve(registry);
      });
    },
    waiting: () => [...waitingOf.values()].reduce((sum, count) => sum + count, 0),
  };
}

function enqueue(registry: Registry, waiting: Waiting): void {
  const { namespace, urgent } = waiting.turn;
  const queue = registry.waiting.get(namespace) ?? [];
  registry.waiting.set(namespace, queue);
  const at = urgent ? queue.findIndex(({ turn }) => !turn.urgent) : -1;
  if (at === -1) queue.push(waiting);
  else queue.splice(at, 0, waiting);
  // Whoever comes now has not been short of anything before: it starts level with those that are there.
  if (!registry.had.has(namespace)) registry.had.set(namespace, leastHad(registry));
}

function leastHad({ had, waiting, running }: Registry): number {
  const active = new Set([...waiting.keys(), ...[...running.values()].map(({ namespace }) => namespace)]);
  const amounts = [...had].flatMap(([namespace, amount]) => (active.has(namespace) ? amount : []));
  return amounts.length > 0 ? Math.min(...amounts) : 0;
}

/** Takes the first question of the namespace that has had least and has a place left. */
function takeNext(registry: Registry, perNamespace: number): Waiting | undefined {
  const running = [...registry.running.values()];
  let next: string | undefined;
  for (const namespace of registry.waiting.keys()) {
    if (running.filter((one) => one.namespace === namespace).length >= perNamespace) continue;
    if (next === undefined || amountHad(registry, namespace) < amountHad(registry, next)) next = namespace;
  }
  if (next === undefined) return undefined;
  const queue = registry.waiting.get(next);
  const first = queue?.shift();
  if (queue?.length === 0) registry.waiting.delete(next);
  return first;
}

function amountHad({ had }: Registry, namespace: string): number {
  return had.get(namespace) ?? 0;
}
