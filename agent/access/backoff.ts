import { LRUCache } from 'lru-cache';

/** Kubelet's image pull back-off grows to 5 min as well (pkg/kubelet/kubelet.go, MaxImageBackOff). */
const INITIAL_MS = 10_000;
const MAX_MS = 300_000;
const MAX_ENTRIES = 10_000;

/** What was last answered, and until when it is not asked again. Times in ms of the clock that is handed in. */
export type Held<Outcome> = { readonly outcome: Outcome; readonly until: number; readonly delayMs: number };

export type Backoff<Outcome> = {
  /** The last outcome while it still counts; undefined once it is time to ask again. */
  held(key: string, now: number): Held<Outcome> | undefined;
  /** Remembers an outcome that was not a success; each in a row doubles the delay, 10 s to 5 min. */
  failed(key: string, outcome: Outcome, now: number): Held<Outcome>;
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
    failed(key, outcome, now) {
      const previous = entries.get(key);
      // A row that ended long ago says nothing about now (client-go's flowcontrol.Backoff resets after twice the maximum).
      const inARow = previous !== undefined && now < previous.until + 2 * MAX_MS;
      const delayMs = inARow ? Math.min(previous.delayMs * 2, MAX_MS) : INITIAL_MS;
      const entry = { outcome, until: now + delayMs, delayMs };
      entries.set(key, entry);
      return entry;
    },
    succeeded(key) {
      entries.delete(key);
    },
  };
}
