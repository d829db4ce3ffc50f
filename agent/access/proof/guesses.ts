import { LRUCache } from 'lru-cache';

/**
 * So many different credentials of one namespace may be refused by one registry before the next one waits.
 */
const FREE = 10;
const FIRST_WAIT_MS = 5_000;
const MAX_WAIT_MS = 300_000;
const MAX_KEPT = 1_000;
/** A namespace whose credentials were refused this long ago is forgiven (ms). */
const FORGET_MS = 3_600_000;

type Refusals = { readonly keys: Set<string>; readonly until: number };

/**
 * Nobody guesses passwords through the agent: after some different refused credentials of one namespace at
 * one registry, each new one waits, longer each time.
 */
export type Guesses = {
  /** Milliseconds until this credential may be tried; 0 for one that may be tried now. */
  waitMs(namespace: string, registry: string, credentialKey: string): number;
  refused(namespace: string, registry: string, credentialKey: string): void;
};

/** @param now milliseconds, monotonic */
export function createGuesses(now: () => number): Guesses {
  const refusals = new LRUCache<string, Refusals>({ max: MAX_KEPT, ttl: FORGET_MS });
  const at = (namespace: string, registry: string) => `${namespace}/${registry}`;
  return {
    waitMs(namespace, registry, credentialKey) {
      const known = refusals.get(at(namespace, registry));
      // One that was refused before costs nothing new: the backoff of its refusal is what it waits for.
      if (known === undefined || known.keys.has(credentialKey)) return 0;
      return Math.max(0, known.until - now());
    },
    refused(namespace, registry, credentialKey) {
      const key = at(namespace, registry);
      const keys = refusals.get(key)?.keys ?? new Set<string>();
      if (keys.has(credentialKey)) return;
      keys.add(credentialKey);
      const over = keys.size - FREE;
      const waitMs = over < 0 ? 0 : Math.min(FIRST_WAIT_MS * 2 ** Math.min(over, 10), MAX_WAIT_MS);
      if (keys.size > MAX_KEPT) keys.delete([...keys][0] ?? '');
      refusals.set(key, { keys, until: now() + waitMs });
    },
  };
}
