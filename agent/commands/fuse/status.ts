import type { Config } from '../../config/resolve.ts';
import { createFuse, type FuseSettings } from '../../enforcement/fuse.ts';
import { readSavedFuse } from '../../records/saved-fuse.ts';
import { openRecordStoreReadOnly } from '../../records/sqlite/open.ts';
import { type Column, type OutputFormat, type Print, printOutput, timeText } from '../output.ts';

export type FuseConfig = Pick<
  Config,
  'stateDir' | 'fuseCount' | 'fuseShare' | 'fuseNamespaces' | 'fuseWindow'
>;

type NamespaceRow = { readonly namespace: string; readonly containers: number };

/** What `-o json` prints. */
export type FuseStatus = {
  readonly state: 'open' | 'closed' | 'neverSaved';
  /** RFC 3339; empty where nothing was saved. */
  readonly savedAt: string;
  /** Containers with standing on the node, when it last counted. */
  readonly onNode: number;
  /** What would have been stopped within the window. */
  readonly counted: readonly NamespaceRow[];
};

const columns: readonly Column<NamespaceRow & Pick<FuseStatus, 'state' | 'savedAt'>>[] = [
  { header: 'FUSE', value: ({ state }) => state },
  { header: 'NAMESPACE', value: ({ namespace }) => namespace },
  { header: 'COUNTED', value: ({ containers }) => String(containers) },
  { header: 'SAVED', value: ({ savedAt }) => savedAt },
];

/**
 * `fuse status`: whether the fuse is open and what it counts, as the agent saved it last (within a second of
 * a change). `now` in ms since the epoch.
 *
 * @throws RecordStoreError
 */
export function fuseStatus(
  config: FuseConfig,
  { output, print, now }: { readonly output: OutputFormat; readonly print: Print; readonly now: number },
): number {
  const status = statusOf(config, now);
  const { state, savedAt } = status;
  const counted = status.counted.length > 0 ? status.counted : [{ namespace: '', containers: 0 }];
  const rows = counted.map((row) => ({ ...row, state, savedAt }));
  printOutput(print, output, { data: status, rows, columns });
  return 0;
}

function statusOf(config: FuseConfig, now: number): FuseStatus {
  const { store, savedState } = openRecordStoreReadOnly(config.stateDir);
  const saved = readSavedFuse(savedState);
  store.close();
  if (saved === undefined) return { state: 'neverSaved', savedAt: '', onNode: 0, counted: [] };
  const nothing = () => undefined;
  const agoMs = now - saved.savedAtMs;
  const fuse = createFuse(settingsOf(config), {
    now: () => 0,
    onOpen: nothing,
    onClose: nothing,
    restored: { snapshot: saved.snapshot, agoMs },
  });
  const isOpen = fuse.isOpen();
  const { recent, onNode } = fuse.snapshot();
  const counts = new Map<string, number>();
  for (const { namespace } of recent) counts.set(namespace, (counts.get(namespace) ?? 0) + 1);
  const counted = [...counts].map(([namespace, containers]) => ({ namespace, containers }));
  counted.sort((one, other) => other.containers - one.containers);
  return { state: isOpen ? 'open' : 'closed', savedAt: timeText(saved.savedAtMs), onNode, counted };
}

function settingsOf(config: FuseConfig): FuseSettings {
  return {
    count: config.fuseCount,
    share: config.fuseShare,
    namespaces: config.fuseNamespaces,
    windowMs: config.fuseWindow,
  };
}
