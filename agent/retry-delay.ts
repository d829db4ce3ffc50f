/**
 * Milliseconds between one try and the next: doubles from `initialMs` to `maxMs`, each made 50 to 100 % of
 * it by chance.
 */
export type RetryDelays = { readonly initialMs: number; readonly maxMs: number };

export type RetryDelay = { next(): number; reset(): void };

export function createRetryDelay({ initialMs, maxMs }: RetryDelays): RetryDelay {
  let delay = initialMs;
  return {
    next() {
      const now = delay;
      delay = Math.min(delay * 2, maxMs);
      return now * (0.5 + Math.random() / 2);
    },
    reset() {
      delay = initialMs;
    },
  };
}
