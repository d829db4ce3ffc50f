import { LRUCache } from 'lru-cache';
import PQueue from 'p-queue';
import { ProviderError } from '../../errors.ts';
import type { Asker, Plugin } from './exec-plugin.ts';

/** At most so many plugins run at once, of all providers. */
const AT_ONCE = 4;
const INITIAL_MS = 2_000;
const MAX_MS = 60_000;
const MAX_KEPT = 1_000;

/** Who may run a plugin next. The agent's one scheduler, or else createTurns. */
export type Turns = <Result>(asker: Asker, work: () => Promise<Result>) => Promise<Result>;

export function createTurns(): Turns {
  const queue = new PQueue({ concurrency: AT_ONCE });
  return (_, work) => queue.add(work);
}

type Failure = { readonly error: ProviderError; readonly until: number; readonly delayMs: number };

/**
 * A plugin that waits for its turn, and after a failure is not run again for a while, from 2 s to 1 min:
 * meanwhile the same failure is the answer. That is by registry and namespace, so that a name which makes a
 * plugin fail does so for those who use it only. `now` in ms of a clock that only goes forward.
 */
export function inTurn<Response>(
  plugin: Plugin<Response>,
  turns: Turns,
  now: () => number,
): Plugin<Response> {
  const failures = new LRUCache<string, Failure>({ max: MAX_KEPT });
  return {
    run(request, asker) {
      const key = JSON.stringify([asker.registry, asker.namespace]);
      return turns(asker, async () => {
        const before = failures.get(key);
        if (before && now() < before.until) throw before.error;
        try {
          const response = await plugin.run(request, asker);
          failures.delete(key);
          return response;
        } catch (error) {
          if (error instanceof ProviderError && error.reason !== 'closed') {
            const delayMs = Math.min(before ? before.delayMs * 2 : INITIAL_MS, MAX_MS);
            failures.set(key, { error, until: now() + delayMs, delayMs });
          }
          throw error;
        }
      });
    },
  };
}
