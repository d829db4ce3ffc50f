import { createFairQueue, type FairQueue } from '../../fair-queue.ts';

/**
 * Who asks next: each registry has its own fair queue, and what a namespace has waiting, over all of them, is
 * bounded.
 */
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
};

export type Turn = {
  readonly registry: string;
  readonly namespace: string;
  /** Containers that start now go before those that ran already, within their namespace. */
  readonly urgent: boolean;
};

export type SharesSettings = {
  /** Questions at once per registry. */
  readonly perRegistry: number;
  /** Questions at once per registry of one namespace. */
  readonly perNamespace: number;
  /** Questions of one namespace that may wait, over all registries. */
  readonly maxWaiting: number;
};

/** A registry that has not answered anything for this long (ms) is asked one thing at a time. */
const SILENT_MS = 2_000;

/** @param now milliseconds, monotonic */
export function createShares(settings: SharesSettings, now: () => number): Shares {
  const { perRegistry, perNamespace, maxWaiting } = settings;
  const queues = new Map<string, FairQueue>();

  function queueFor(registry: string): FairQueue {
    const known = queues.get(registry);
    if (known) return known;
    const made = createFairQueue(
      { atOnce: perRegistry, ofNamespace: perNamespace, silentMs: SILENT_MS },
      now,
    );
    queues.set(registry, made);
    return made;
  }

  function waitingOf(namespace: string): number {
    return [...queues.values()].reduce((sum, queue) => sum + queue.waiting(namespace), 0);
  }

  return {
    async take({ registry, namespace, urgent }, work, isWelcome) {
      if (waitingOf(namespace) >= maxWaiting) return undefined;
      const queue = queueFor(registry);
      try {
        return await queue.run(namespace, work, { urgent, isWelcome });
      } finally {
        if (queue.isIdle() && queues.get(registry) === queue) queues.delete(registry);
      }
    },
  };
}
