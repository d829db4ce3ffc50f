import { RecordStoreError } from '../errors.ts';
import {
  type Degraded,
  gone,
  type Row,
  type RowChange,
  type Rows,
  type TableName,
  type Write,
} from './rows.ts';

/** A disk that fills up, turns read-only or fails; a database that is busy or damaged is another matter. */
const KEPT_FOR: ReadonlySet<RecordStoreError['reason']> = new Set([
  'databaseFull',
  'databaseReadOnly',
  'databaseFailed',
]);

/** What somebody is allowed rests on these; the others only take away, or say what was there. */
const GRANTING: ReadonlySet<TableName> = new Set([
  'pull_entries',
  'preloaded_images',
  'standing',
  'pieces',
  'matched_names',
]);

/**
 * Keeps in memory what the disk does not take, so that a full disk costs nobody a container: `degraded` says
 * why, and the next write tries to bring all of it to the disk. What is kept is gone with the process, and
 * verified again.
 */
export class KeptRows implements Rows {
  readonly #truth: Rows;
  readonly #onDegraded: (degraded: Degraded | undefined) => void;
  /** The last change of each row. */
  readonly #kept = new Map<string, RowChange>();
  #keptVersion = 0;
  #degraded: Degraded | undefined;

  constructor(truth: Rows, onDegraded: (degraded: Degraded | undefined) => void = () => {}) {
    this.#truth = truth;
    this.#onDegraded = onDegraded;
  }

  get degraded(): Degraded | undefined {
    return this.#degraded ?? this.#truth.degraded;
  }

  *all(table: TableName, prefix: Row = []): Generator<Row> {
    for (const row of this.#truth.all(table, prefix)) {
      if (this.#kept.size === 0 || !this.#isKept(table, row)) yield row;
    }
    for (const { table: of, key, value } of this.#kept.values()) {
      const isSought = of === table && prefix.every((column, n) => key[n] === column);
      if (isSought && value !== undefined) yield [...key, ...value];
    }
  }

  write(write: Write, plan: () => readonly RowChange[]): void {
    let planned: readonly RowChange[] | undefined;
    let failedToPlan = false;
    const planOnce = (): readonly RowChange[] => {
      failedToPlan = true;
      planned = plan();
      failedToPlan = false;
      return planned;
    };
    try {
      this.#truth.write(write, () => {
        const kept = this.#keptToWrite();
        return [...kept, ...planOnce()];
      });
    } catch (error) {
      if (failedToPlan || !(error instanceof RecordStoreError)) throw error;
      if (write.mustReachDisk || !KEPT_FOR.has(error.reason)) throw error;
      this.#keep(planned ?? planOnce(), error);
      return;
    }
    this.#kept.clear();
    this.#setDegraded(undefined);
  }

  /** Tries again to bring to the disk what is kept. */
  retry(): void {
    if (this.#kept.size === 0) return;
    try {
      this.write({ doing: 'write what was kept in memory', durability: 'power' }, () => []);
    } catch (error) {
      if (!(error instanceof RecordStoreError)) throw error;
      this.#setDegraded({ reason: error.reason, message: error.message });
    }
  }

  version(): number {
    return this.#truth.version();
  }

  close(): void {
    try {
      this.retry();
    } finally {
      this.#truth.close();
    }
  }

  #keep(changes: readonly RowChange[], error: RecordStoreError): void {
    if (this.#kept.size === 0) this.#keptVersion = this.#versionBeforeKeeping();
    for (const change of changes) this.#kept.set(nameOf(change.table, change.key), change);
    this.#setDegraded({ reason: error.reason, message: error.message });
  }

  /**
   * Where another process wrote meanwhile, a row that grants may be what it took away: then it is verified
   * again.
   */
  #keptToWrite(): readonly RowChange[] {
    const kept = [...this.#kept.values()];
    if (kept.length === 0 || this.#truth.version() === this.#keptVersion) return kept;
    return kept.map((change) => (GRANTING.has(change.table) ? gone(change.table, change.key) : change));
  }

  #versionBeforeKeeping(): number {
    try {
      return this.#truth.version();
    } catch {
      // A disk that cannot even be read: like none that follows, so nothing that grants is written later.
      return Number.NaN;
    }
  }

  #isKept(table: TableName, row: Row): boolean {
    for (const { table: of, key } of this.#kept.values()) {
      if (of === table && key.every((column, n) => row[n] === column)) return true;
    }
    return false;
  }

  #setDegraded(degraded: Degraded | undefined): void {
    const before = this.#degraded;
    this.#degraded = degraded;
    if (before?.reason !== degraded?.reason) this.#onDegraded(degraded);
  }
}

function nameOf(table: TableName, key: Row): string {
  return JSON.stringify([table, ...key]);
}
