import PQueue from 'p-queue';
import { endsWithin } from '../patience.ts';

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
  const { delayMs, atOnce: concurrency, turnMs = TURN_MS } = options;
  const queues = new Map<string, PQueue>();
  const delays = new Set<NodeJS.Timeout>();
  let waiting = 0;
  let closed = false;

  async function inQueueOf(namespace: string, judge: () => Promise<void>): Promise<void> {
    const queue = queues.get(namespace) ?? new PQueue({ concurrency });
    queues.set(namespace, queue);
    await queue.add(async () => {
      waiting -= 1;
      if (!closed) await endsWithin(turnMs, judge());
    });
    if (queue.size === 0 && queue.pending === 0 && queues.get(namespace) === queue) queues.delete(namespace);
  }

  return {
    add(namespace, judge) {
      if (closed) return;
      waiting += 1;
      const timer = setTimeout(() => {
        delays.delete(timer);
        void inQueueOf(namespace, judge);
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
