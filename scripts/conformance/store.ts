import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RecordStore } from '../../agent/records/record-store.ts';
import { openRecordStore } from '../../agent/records/sqlite/open.ts';

function stateOf(folder: string): string {
  return join(folder, 'state');
}

/** A store as the agent opens it, on disk in a folder of its own. */
export function openStore(folder: string): RecordStore {
  const { store } = openRecordStore({ stateDir: stateOf(folder) });
  if (store.degraded) throw new Error(`no store on disk: ${store.degraded.message}`);
  return store;
}

let emptyState: readonly { readonly name: string; readonly content: Uint8Array }[] | undefined;

/**
 * The files of a state directory that was opened once: to make a database anew takes longer than a sequence.
 */
export function putEmptyState(folder: string): void {
  const stateDir = stateOf(folder);
  emptyState ??= makeEmptyState();
  mkdirSync(stateDir, { mode: 0o700 });
  for (const { name, content } of emptyState) writeFileSync(join(stateDir, name), content, { mode: 0o600 });
}

function makeEmptyState(): NonNullable<typeof emptyState> {
  const folder = mkdtempSync(join(tmpdir(), 'pullwarden-conformance-empty-'));
  try {
    openStore(folder).close();
    const names = readdirSync(stateOf(folder));
    return names.map((name) => ({ name, content: readFileSync(join(stateOf(folder), name)) }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
