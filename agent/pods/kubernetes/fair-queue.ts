export type FairQueue = {
  /** Runs the task when it is its namespace's turn. Resolves and rejects as the task does. */
  run<Value>(namespace: string, task: () => Promise<Value>): Promise<Value>;
};

/**
 * At most `concurrency` tasks at once, the namespaces that wait served in turn: one with thousands of tasks
 * delays another's next one by no more than one task of each namespace.
 */
export function createFairQueue(concurrency: number): FairQueue {
  // In the order in which they are served: a namespace that was served goes to the end.
  const waiting = new Map<string, (() => void)[]>();
  let running = 0;

  function startNext(): void {
    if (running >= concurrency) return;
    const [next] = waiting;
    if (next === undefined) return;
    const [namespace, tasks] = next;
    waiting.delete(namespace);
    const start = tasks.shift();
    if (tasks.length > 0) waiting.set(namespace, tasks);
    running += 1;
    start?.();
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
