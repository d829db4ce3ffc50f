import { randomUUID } from 'node:crypto';
import type { Config } from '../../config/resolve.ts';
import { writeFuseReset } from '../../records/saved-fuse.ts';
import { openRecordStoreForEditing } from '../../records/sqlite/open.ts';
import type { Print } from '../output.ts';

/**
 * `fuse reset`: forgets what the fuse has counted, so that it is closed, whether the agent runs or not. One
 * that runs notices within a second while its fuse is open, and before it counts the next container
 * otherwise; what the fuse let run is then judged again. `now` in ms since the epoch.
 *
 * @throws RecordStoreError
 */
export function resetFuse(
  config: Pick<Config, 'stateDir'>,
  { print, now }: { readonly print: Print; readonly now: number },
): number {
  const { store, savedState } = openRecordStoreForEditing(config.stateDir);
  try {
    writeFuseReset(savedState, randomUUID(), now);
  } finally {
    store.close();
  }
  print('the fuse is reset; what it let run is judged again\n');
  return 0;
}
