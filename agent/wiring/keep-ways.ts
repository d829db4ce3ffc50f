import { isDeepStrictEqual } from 'node:util';
import type { RuntimeWays } from '../records/saved-ways.ts';

const LOOK_MS = 30_000;

/** Saves what the runtime can do by itself whenever that has changed, so that `doctor` can name it. */
export function keepWays(read: () => RuntimeWays, save: (ways: RuntimeWays) => void): { close(): void } {
  let saved: RuntimeWays | undefined;
  const look = () => {
    const ways = read();
    if (isDeepStrictEqual(ways, saved)) return;
    saved = ways;
    save(ways);
  };
  const timer = setInterval(look, LOOK_MS);
  return {
    close() {
      clearInterval(timer);
      look();
    },
  };
}
