import { z } from 'zod';
import type { SavedState } from './saved-state.ts';

const registries = z.array(z.string()).readonly();
const savedRuntimeRegistries = z.object({ onlyReached: registries, granted: registries });

/**
 * What the runtime can do that the agent, or a registry, does not vouch for: registries that only the runtime
 * reaches, and those of which it was granted something by itself in the last day. Hosts, as images name them.
 */
export type RuntimeRegistries = z.infer<typeof savedRuntimeRegistries>;

const NAME = 'runtimeRegistries';

/** As the agent saw it last; undefined where it has saved nothing. @throws RecordStoreError */
export function readSavedRuntimeRegistries(state: SavedState): RuntimeRegistries | undefined {
  return savedRuntimeRegistries.safeParse(state.read(NAME)).data;
}

/** @throws RecordStoreError */
export function writeSavedRuntimeRegistries(state: SavedState, registries: RuntimeRegistries): void {
  state.write(NAME, registries);
}
