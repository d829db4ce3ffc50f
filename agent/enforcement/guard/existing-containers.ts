import { createFairQueue } from '../../fair-queue.ts';

export type ExistingContainersOptions = {
  /** Each waits for a random time of up to this many ms first, ... */
  readonly delayMs: number;
  /** ... and then this many at a time of each namespace are judged, so that none holds up the others. */
  readonly atOnce: number;
  /**
   * One that takes longer than this (ms) goes on, but no longer keeps the next one of its namespace waiting.
   */
  readonly turnMs?: number;
};

export type ExistingContainers = {
  /** `judge` is called when its turn comes. */
  add(namespace: string, judge: () => Promise<void>): void;
  /** Those whose turn has not come yet. */
  size(): number;
  /** No turn comes any more. */
  close(): void;
};

const TURN_MS = 5_000;

/** Containers that ran before the agent: they have time, and there may be hundreds of them. */
export function createExistingContainers(options: ExistingContainersOptions): ExistingContainers {
  const { delayMs, atOnce: ofNamespace, turnMs = TURN_MS } = options;
  const queue = createFairQueue({ atOnce: Number.POSITIVE_INFINITY, ofNamespace, turnMs });
  const delays = new Set<NodeJS.Timeout>();
  let waiting = 0;
  let closed = false;

  return {
    add(namespace, judge) {
      if (closed) return;
      waiting += 1;
      const timer = setTimeout(() => {
        delays.delete(timer);
        void queue.run(namespace, async () => {
          waiting -= 1;
          if (!closed) await judge();
        });
      }, Math.random() * delayMs);
      delays.add(timer);
    },
    size: () => waiting,
    close() {
      closed = true;
      waiting -= delays.size;
      for (const timer of delays) clearTimeout(timer);
      delays.clear();
    },
  };
}
