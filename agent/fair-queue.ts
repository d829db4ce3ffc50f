import { LRUCache } from 'lru-cache';

export type FairQueue = {
  /** Runs the task when it is its namespace's turn. Resolves and rejects as the task does. */
  run<Value>(namespace: string, task: () => Promise<Value>): Promise<Value>;
};

/** How many tasks of one namespace are begun: so many at once, and so many a second in the long run. */
export type Pace = { readonly atOnce: number; readonly perSecond: number };

const MAX_NAMESPACES = 1_000;

/**
 * At most `concurrency` tasks at once, the namespaces that wait served in turn: one with thousands of tasks
 * delays another's next one by no more than one task of each namespace. One that has used up its pace waits,
 * and nobody else with it.
 *
 * @param now milliseconds, monotonic
 */
export function createFairQueue(
  concurrency: number,
  pace?: Pace,
  now: () => number = () => performance.now(),
): FairQueue {
  // In the order in which they are served: a namespace that was served goes to the end.
  const waiting = new Map<string, (() => void)[]>();
  /** When a namespace will have all of `atOnce` again, ms; one that is not here has it. */
  const wholeAt = new LRUCache<string, number>({ max: MAX_NAMESPACES });
  let running = 0;
  let timer: NodeJS.Timeout | undefined;

  /** Milliseconds until its next task may begin. */
  function pauseOf(namespace: string): number {
    if (pace === undefined) return 0;
    const missingMs = Math.max(0, (wholeAt.get(namespace) ?? 0) - now());
    return Math.max(0, missingMs - ((pace.atOnce - 1) * 1_000) / pace.perSecond);
  }

  function startNext(): void {
    if (running >= concurrency) return;
    let soonestMs = Number.POSITIVE_INFINITY;
    for (const [namespace, tasks] of waiting) {
      const pauseMs = pauseOf(namespace);
      soonestMs = Math.min(soonestMs, pauseMs);
      if (pauseMs > 0) continue;
      waiting.delete(namespace);
      const start = tasks.shift();
      if (tasks.length > 0) waiting.set(namespace, tasks);
      if (pace) {
        wholeAt.set(namespace, Math.max(now(), wholeAt.get(namespace) ?? 0) + 1_000 / pace.perSecond);
      }
      running += 1;
      start?.();
      return;
    }
    if (waiting.size === 0) return;
    clearTimeout(timer);
    timer = setTimeout(startNext, Math.ceil(soonestMs));
  }

  return {
    async run(namespace, task) {
      await new Promise<void>((resolve) => {
        const tasks = waiting.get(namespace) ?? [];
        tasks.push(resolve);
        waiting.set(namespace, tasks);
        startNext();
      });
      try {
        return await task();
      } finally {
        running -= 1;
        startNext();
      }
    },
  };
}
