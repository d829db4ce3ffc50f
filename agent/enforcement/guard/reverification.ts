/** What the registries said last about what runs. */
export type EntitlementState = 'granted' | 'refused' | 'unverifiable' | 'notAsked';

export type Running = { readonly id: string; readonly imageRef: string };

export type ReverificationOptions = {
  /** Each container is asked about once in this time (ms); 0: only when what it runs by was taken away. */
  readonly periodMs: number;
  readonly running: () => readonly Running[];
  /** Asks, reports and enforces; undefined where the container is gone. */
  readonly reverify: (id: string) => Promise<EntitlementState | undefined>;
};

export type Reverification = {
  /** A grant of this content was taken away: what runs by it is asked about now. */
  revoked(imageRef: string): void;
  states(): Readonly<Record<EntitlementState, number>>;
  close(): Promise<void>;
};

/** `--reverify-running`: asks about what runs, one by one and spread evenly over the period. */
export function startReverification({ periodMs, running, reverify }: ReverificationOptions): Reverification {
  /** By container, in the order in which they were asked about. */
  const last = new Map<string, EntitlementState>();
  const first = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<void> | undefined;
  let closed = false;

  function forgetGone(present: readonly Running[]): void {
    const ids = new Set(present.map(({ id }) => id));
    for (const id of last.keys()) if (!ids.has(id)) last.delete(id);
    for (const id of first) if (!ids.has(id)) first.delete(id);
  }

  /** Those first whose grant was taken away, then those that nobody was asked about, then the longest ago. */
  function next(present: readonly Running[]): string | undefined {
    const [urgent] = first;
    if (urgent !== undefined || periodMs === 0) return urgent;
    const never = present.find(({ id }) => !last.has(id));
    return never ? never.id : last.keys().next().value;
  }

  async function look(): Promise<void> {
    const present = running();
    forgetGone(present);
    const id = next(present);
    if (id === undefined) return;
    first.delete(id);
    const state = await reverify(id);
    last.delete(id);
    if (state !== undefined) last.set(id, state);
  }

  function pauseMs(): number {
    if (first.size > 0) return 0;
    return Math.max(1, periodMs / Math.max(1, running().length));
  }

  function later(): void {
    clearTimeout(timer);
    timer = undefined;
    if (closed || working || (periodMs === 0 && first.size === 0)) return;
    timer = setTimeout(begin, pauseMs()).unref();
  }

  function begin(): void {
    working = look().finally(() => {
      working = undefined;
      later();
    });
  }

  later();
  return {
    revoked(imageRef) {
      for (const container of running()) if (container.imageRef === imageRef) first.add(container.id);
      later();
    },
    states() {
      const counts = { granted: 0, refused: 0, unverifiable: 0, notAsked: 0 };
      for (const { id } of running()) counts[last.get(id) ?? 'notAsked'] += 1;
      return counts;
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      await working;
    },
  };
}
