/** The same delays as for a registry that did not answer (access/proof/backoff.ts). */
const INITIAL_MS = 10_000;
const MAX_MS = 300_000;
/** Changes come in bursts (a listing, a folder that is copied); one retry per burst. */
const DEBOUNCE_MS = 250;
/** A tenant can change a pod as often as it likes; what waits is tried no more often than this for it. */
const MIN_INTERVAL_MS = 1_000;

export type Retries<Subject> = {
  /** Tries again after a delay that doubles from 10 s to 5 min with each try, or on the next `now`. */
  later(id: string, subject: Subject): void;
  /** Tries again only on the next `now`. */
  onChange(id: string, subject: Subject): void;
  /**
   * Something changed: what waits is tried soon, but each at most once a second however often this is
   * called.
   */
  now(): void;
  /** Forgets an id and how often it was tried. */
  forget(id: string): void;
  size(): number;
  close(): void;
};

type Entry<Subject> = {
  readonly subject: Subject;
  timer: NodeJS.Timeout | undefined;
};

/** Keeps what has to be tried again, by container id. */
export function createRetries<Subject>(retry: (subject: Subject) => void): Retries<Subject> {
  const waiting = new Map<string, Entry<Subject>>();
  const lastDelay = new Map<string, number>();
  /** When the last try that a change brought about began, in ms of `performance.now()`. */
  const lastTaken = new Map<string, number>();
  let debounce: NodeJS.Timeout | undefined;

  function take(id: string): void {
    const entry = waiting.get(id);
    if (entry === undefined) return;
    clearTimeout(entry.timer);
    waiting.delete(id);
    retry(entry.subject);
  }

  function put(id: string, entry: Entry<Subject>): void {
    clearTimeout(waiting.get(id)?.timer);
    waiting.set(id, entry);
  }

  function takeSoon(id: string, entry: Entry<Subject>): void {
    const waitMs = (lastTaken.get(id) ?? -Infinity) + MIN_INTERVAL_MS - performance.now();
    const takeNow = (): void => {
      lastTaken.set(id, performance.now());
      take(id);
    };
    if (waitMs <= 0) takeNow();
    else put(id, { ...entry, timer: setTimeout(takeNow, waitMs) });
  }

  return {
    later(id, subject) {
      const delayMs = Math.min((lastDelay.get(id) ?? INITIAL_MS / 2) * 2, MAX_MS);
      lastDelay.set(id, delayMs);
      // Up to a fifth more, so that containers that failed together do not come back together.
      put(id, { subject, timer: setTimeout(() => take(id), delayMs * (1 + Math.random() / 5)) });
    },
    onChange(id, subject) {
      put(id, { subject, timer: undefined });
    },
    now() {
      if (waiting.size === 0) return;
      debounce ??= setTimeout(() => {
        debounce = undefined;
        for (const [id, entry] of [...waiting]) takeSoon(id, entry);
      }, DEBOUNCE_MS);
    },
    forget(id) {
      clearTimeout(waiting.get(id)?.timer);
      waiting.delete(id);
      lastDelay.delete(id);
      lastTaken.delete(id);
    },
    size() {
      return waiting.size;
    },
    close() {
      clearTimeout(debounce);
      for (const id of [...waiting.keys()]) this.forget(id);
    },
  };
}
