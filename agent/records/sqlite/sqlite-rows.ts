import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import type { Database, Statement } from 'better-sqlite3';
import {
  type Degraded,
  type Row,
  type RowChange,
  type Rows,
  TABLES,
  type TableName,
  type Write,
} from '../rows.ts';
import { databaseError } from './database.ts';

/** Of an HMAC-SHA-256, in base64url: 128 bits. */
const CHECK_LENGTH = 22;

type Columns = (string | number)[];

type TableStatements = {
  readonly put: Statement<Columns>;
  readonly remove: Statement<Columns>;
  /** By how many columns of the key. */
  readonly select: readonly Statement<Columns, Row>[];
};

/**
 * The truth on disk: rows in a SQLite database of the schema in migrations.ts, each with a check over its
 * table and all its columns under the node's key. A row that does not pass is left out and counted.
 */
export class SqliteRows implements Rows {
  readonly degraded: Degraded | undefined;
  /** Rows that did not pass their check when they were last read, by table. */
  readonly unsound = new Map<TableName, number>();
  readonly #db: Database;
  readonly #key: KeyObject;
  readonly #tables = new Map<TableName, TableStatements>();
  readonly #begin;
  readonly #commit;
  readonly #version;
  #durability: Write['durability'] | undefined;

  /** `degraded`: why these rows are in memory only. */
  constructor(db: Database, key: Buffer, degraded?: Degraded) {
    this.degraded = degraded;
    this.#db = db;
    this.#key = rowCheckKey(key);
    this.#begin = db.prepare('BEGIN IMMEDIATE');
    this.#commit = db.prepare('COMMIT');
    // Moves when another connection has committed, and only then.
    this.#version = db.prepare<[], number>('PRAGMA data_version').pluck();
  }

  *all(table: TableName, prefix: Row = []): Generator<Row> {
    const select = this.#statementsOf(table).select[prefix.length];
    if (select === undefined) throw new TypeError(`${table} has no key of ${prefix.length} columns`);
    let unsound = 0;
    // A few rows at once, so that whoever asked may ask again meanwhile; a whole table one by one.
    const rows = prefix.length > 0 ? select.all(...prefix) : select.iterate();
    for (const row of rows) {
      const columns = row.slice(0, -1);
      if (row.at(-1) === rowCheck(this.#key, table, columns)) yield columns;
      else unsound += 1;
    }
    if (prefix.length === 0) this.unsound.set(table, unsound);
  }

  write(write: Write, plan: () => readonly RowChange[]): void {
    try {
      this.#setDurability(write.durability);
      this.#begin.run();
      this.putAll(plan());
      this.#commit.run();
    } catch (error) {
      this.#rollback();
      throw databaseError(error, `cannot ${write.doing}`, this.#db.name);
    }
  }

  version(): number {
    try {
      return this.#version.get() ?? 0;
    } catch (error) {
      throw databaseError(error, 'cannot read the records again', this.#db.name);
    }
  }

  close(): void {
    this.#db.close();
  }

  /** Takes away what did not pass its check. @throws RecordStoreError */
  removeUnsound(): void {
    this.write({ doing: 'remove damaged rows', durability: 'power' }, () => {
      for (const [table, count] of this.unsound) if (count > 0) this.#removeUnsoundOf(table);
      // An entry counts for nothing without its record, and must not come back with the next one.
      this.#db.exec('DELETE FROM pull_entries WHERE image_id NOT IN (SELECT image_id FROM pulled_records)');
      return [];
    });
  }

  /** Within the transaction that is open. */
  putAll(changes: readonly RowChange[]): void {
    for (const change of changes) this.#apply(change);
  }

  #removeUnsoundOf(table: TableName): void {
    const { select, remove } = this.#statementsOf(table);
    for (const row of select[0]?.all() ?? []) {
      const columns = row.slice(0, -1);
      if (row.at(-1) === rowCheck(this.#key, table, columns)) continue;
      remove.run(...columns.slice(0, TABLES[table].key.length));
    }
  }

  #apply({ table, key, value }: RowChange): void {
    const { put, remove } = this.#statementsOf(table);
    if (value === undefined) {
      remove.run(...key);
      return;
    }
    const columns = [...key, ...value];
    put.run(...columns, rowCheck(this.#key, table, columns));
  }

  #statementsOf(table: TableName): TableStatements {
    const known = this.#tables.get(table);
    if (known) return known;
    const prepared = prepare(this.#db, table);
    this.#tables.set(table, prepared);
    return prepared;
  }

  #setDurability(durability: Write['durability']): void {
    if (this.#durability === durability) return;
    this.#db.exec(durability === 'power' ? 'PRAGMA synchronous = FULL' : 'PRAGMA synchronous = NORMAL');
    this.#durability = durability;
  }

  #rollback(): void {
    try {
      if (this.#db.open && this.#db.inTransaction) this.#db.exec('ROLLBACK');
    } catch {
      // What made the write fail is what the caller should hear; SQLite rolls back with the next transaction.
    }
  }
}

/**
 * The node's key keys the hashes of credentials; what checks rows is derived from it, so that neither serves
 * as the other.
 */
function rowCheckKey(key: Buffer): KeyObject {
  return createSecretKey(createHmac('sha256', key).update('pullwarden: checks of rows').digest());
}

function rowCheck(key: KeyObject, table: TableName, columns: Row): string {
  // With their types and lengths, so that no two rows say the same.
  let text: string = table;
  for (const column of columns) {
    text += typeof column === 'number' ? `|#${column}` : `|${column.length}:${column}`;
  }
  return createHmac('sha256', key).update(text).digest('base64url').slice(0, CHECK_LENGTH);
}

function prepare(db: Database, table: TableName): TableStatements {
  const key: readonly string[] = TABLES[table].key;
  const columns = [...key, ...TABLES[table].value, 'row_check'];
  const where = (names: readonly string[]) => names.map((name) => `${name} = ?`).join(' AND ');
  const from = `SELECT ${columns.join(', ')} FROM ${table}`;
  const prefixes = [...key.keys(), key.length].map((length) => key.slice(0, length));
  return {
    put: db.prepare<Columns>(`INSERT OR REPLACE INTO ${table} VALUES (${columns.map(() => '?').join(', ')})`),
    remove: db.prepare<Columns>(`DELETE FROM ${table} WHERE ${where(key)}`),
    select: prefixes.map((names) =>
      db.prepare<Columns, Row>(names.length === 0 ? from : `${from} WHERE ${where(names)}`).raw(),
    ),
  };
}
