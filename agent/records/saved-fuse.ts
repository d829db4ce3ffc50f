import { z } from 'zod';
import type { SavedState } from './saved-state.ts';

const savedFuse = z.object({
  /** Epoch ms. */
  savedAtMs: z.number(),
  snapshot: z.object({
    isOpen: z.boolean(),
    onNode: z.number(),
    recent: z.array(z.object({ namespace: z.string(), key: z.string(), agoMs: z.number() })).readonly(),
  }),
});

/** The fuse as an agent left it, or has it now; see enforcement/fuse.ts for what it means. */
export type SavedFuse = z.infer<typeof savedFuse>;

const FUSE = 'fuse';
const RESET = 'fuseReset';

/** Undefined where none was saved, or where it cannot be read. @throws RecordStoreError */
export function readSavedFuse(state: SavedState): SavedFuse | undefined {
  return savedFuse.safeParse(state.read(FUSE)).data;
}

/** @throws RecordStoreError */
export function writeSavedFuse(state: SavedState, saved: SavedFuse): void {
  state.write(FUSE, saved);
}

/** Names the last reset that somebody asked for. @throws RecordStoreError */
export function readFuseReset(state: SavedState): string | undefined {
  return z.string().safeParse(state.read(RESET)).data;
}

/**
 * Asks the agent that runs to reset its fuse, and sees to it that one that starts has it reset. `id` is new
 * each time.
 *
 * @throws RecordStoreError
 */
export function writeFuseReset(state: SavedState, id: string, nowMs: number): void {
  state.write(FUSE, { savedAtMs: nowMs, snapshot: { isOpen: false, onNode: 0, recent: [] } });
  state.write(RESET, id);
}
