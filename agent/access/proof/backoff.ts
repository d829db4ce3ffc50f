import { LRUCache } from 'lru-cache';

/** Kubelet's image pull back-off grows to 5 min as well (pkg/kubelet/kubelet.go, MaxImageBackOff). */
const INITIAL_MS = 10_000;
const MAX_MS = 300_000;
const MAX_ENTRIES = 10_000;

/**
 * What was last answered, and until when it is not asked again. Times in ms of the clock that is handed in.
 */
export type Held<Outcome> = {
  readonly outcome: Outcome;
  readonly since: number;
  readonly until: number;
  readonly delayMs: number;
  readonly maxMs: number;
};

export type Backoff<Outcome> = {
  /** The last outcome while it still counts; undefined once it is time to ask again. */
  held(key: string, now: number): Held<Outcome> | undefined;
  /**
   * Remembers an outcome that was not a success; each in a row doubles the delay, from 10 s to `maxMs`
   * (default 5 min). What is to be held shorter is a row of its own.
   */
  failed(key: string, outcome: Outcome, now: number, maxMs?: number): Held<Outcome>;
  succeeded(key: string): void;
};

/** In memory only and bounded: forgetting costs one more question to the registry, never a permission. */
export function createBackoff<Outcome extends object>(): Backoff<Outcome> {
  const entries = new LRUCache<string, Held<Outcome>>({ max: MAX_ENTRIES });
  return {
    held(key, now) {
      const entry = entries.get(key);
      return entry && now < entry.until ? entry : undefined;
    },
    failed(key, outcome, now, maxMs = MAX_MS) {
      const previous = entries.get(key);
      // A row that ended long ago says nothing about now (client-go's flowcontrol.Backoff resets after twice
      // the maximum).
      const inARow = previous?.maxMs === maxMs && now < previous.until + 2 * maxMs;
      const delayMs = inARow ? Math.min(previous.delayMs * 2, maxMs) : INITIAL_MS;
      const entry = { outcome, since: now, until: now + delayMs, delayMs, maxMs };
      entries.set(key, entry);
      return entry;
    },
    succeeded(key) {
      entries.delete(key);
    },
  };
}
