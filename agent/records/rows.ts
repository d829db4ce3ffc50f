import type { RecordStoreError } from '../errors.ts';

/** The tables of the state database: which columns a row is found by, and what else it says. */
export const TABLES = {
  meta: { key: ['name'], value: ['value'] },
  pulled_records: { key: ['image_id'], value: ['image_ref', 'last_updated_ms'] },
  pull_entries: { key: ['image_id', 'trimmed_image'], value: ['credentials'] },
  pull_intents: { key: ['image'], value: [] },
  preloaded_images: { key: ['image_id', 'repository'], value: [] },
  standing: { key: ['image_id', 'trimmed_image', 'namespace'], value: ['since_ms', 'granted_by'] },
  pieces: { key: ['piece', 'host'], value: ['first_seen_at', 'shown'] },
  matched_names: { key: ['image_id', 'repository'], value: [] },
  seen_containers: { key: ['container_id'], value: [] },
} as const satisfies Record<string, { readonly key: readonly string[]; readonly value: readonly string[] }>;

export type TableName = keyof typeof TABLES;

/** Columns in the order of their table: the key first. */
export type Row = readonly (string | number)[];

/** A row as it is from now on, or that is gone: `value` undefined. */
export type RowChange = {
  readonly table: TableName;
  readonly key: Row;
  readonly value: Row | undefined;
};

/** How a write is to be made. */
export type Write = {
  /** For the message of an error: "cannot DOING". */
  readonly doing: string;
  /**
   * How far a commit goes before it returns. `power`: flushed to the disk, survives a power cut. `kill`:
   * handed to the operating system, survives the death of this process; the next `power` commit flushes it
   * too.
   */
  readonly durability: 'power' | 'kill';
  /** To keep it in memory would be worse than to fail. */
  readonly mustReachDisk?: boolean;
};

/** Why what is new is only in memory. */
export type Degraded = { readonly reason: RecordStoreError['reason']; readonly message: string };

/**
 * The state database as rows: the one way into it. A row that something else changed does not pass its check,
 * and is as good as absent: absence is never a permission.
 */
export interface Rows {
  /** Rows whose key begins with these columns; all of them without. No write before the last was taken. */
  all(table: TableName, prefix?: Row): Iterable<Row>;
  /**
   * One transaction: all of it or nothing. `plan` is called when nobody else can write any more, reads what
   * it likes, and says what changes.
   *
   * @throws RecordStoreError
   */
  write(write: Write, plan: () => readonly RowChange[]): void;
  /** Another number than before when another process has written since. @throws RecordStoreError */
  version(): number;
  readonly degraded: Degraded | undefined;
  close(): void;
}

export function put(table: TableName, key: Row, value: Row = []): RowChange {
  return { table, key, value };
}

export function gone(table: TableName, key: Row): RowChange {
  return { table, key, value: undefined };
}
