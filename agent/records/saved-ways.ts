import { z } from 'zod';
import type { SavedState } from './saved-state.ts';

const registries = z.array(z.string()).readonly();
const savedWays = z.object({ onlyReached: registries, granted: registries });

/**
 * What the runtime can do that the agent, or a registry, does not vouch for: registries that only the runtime
 * reaches, and those of which it was granted something by itself in the last day. Hosts, as images name them.
 */
export type RuntimeWays = z.infer<typeof savedWays>;

const WAYS = 'runtimeWays';

/** As the agent saw it last; undefined where it has saved nothing. @throws RecordStoreError */
export function readSavedWays(state: SavedState): RuntimeWays | undefined {
  return savedWays.safeParse(state.read(WAYS)).data;
}

/** @throws RecordStoreError */
export function writeSavedWays(state: SavedState, ways: RuntimeWays): void {
  state.write(WAYS, ways);
}
