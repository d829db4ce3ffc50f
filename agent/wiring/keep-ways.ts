import type { RuntimeWays } from '../records/saved-ways.ts';

const LOOK_MS = 30_000;

/** Saves what the runtime can do by itself whenever that has changed, so that `doctor` can name it. */
export function keepWays(read: () => RuntimeWays, save: (ways: RuntimeWays) => void): { close(): void } {
  let saved = '';
  const look = () => {
    const ways = read();
    const text = JSON.stringify(ways);
    if (text === saved) return;
    saved = text;
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
