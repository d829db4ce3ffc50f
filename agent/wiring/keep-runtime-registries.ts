import { isDeepStrictEqual } from 'node:util';
import type { RuntimeRegistries } from '../records/saved-runtime-registries.ts';

const LOOK_MS = 30_000;

/** Saves what the runtime can do by itself whenever that has changed, so that `doctor` can name it. */
export function keepRuntimeRegistries(
  read: () => RuntimeRegistries,
  save: (registries: RuntimeRegistries) => void,
): { close(): void } {
  let saved: RuntimeRegistries | undefined;
  const look = () => {
    const registries = read();
    if (isDeepStrictEqual(registries, saved)) return;
    saved = registries;
    save(registries);
  };
  const timer = setInterval(look, LOOK_MS);
  return {
    close() {
      clearInterval(timer);
      look();
    },
  };
}
