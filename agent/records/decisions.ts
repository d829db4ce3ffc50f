import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Database } from 'better-sqlite3';
import { RecordStoreError } from '../errors.ts';
import {
  databaseError,
  openDatabaseFile,
  openDatabaseFileReadOnly,
  openDatabaseInMemory,
  prepareStateDirectory,
  setAside,
} from './sqlite/database.ts';
import { migrate, refuseNewer, schemaVersion } from './sqlite/migrations.ts';

/** One judged container, as it goes into the audit trail. Words are those of access/verdict.ts. */
export type DecisionEntry = {
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly namespace: string;
  readonly pod: string;
  readonly podUid: string;
  /** The container's name in the pod. */
  readonly container: string;
  readonly containerId: string;
  readonly image: string;
  readonly imageRef: string;
  readonly pullPolicy: string;
  readonly verdict: 'allowed' | 'denied' | 'unverifiable';
  readonly reason: string;
  /** Free of credentials; cut at 1,024 characters. */
  readonly message: string;
  /** Of the agent: audit or enforce. */
  readonly mode: string;
  /** What was done about the container, and how that ended. */
  readonly action: string;
  readonly outcome: string;
  readonly durationMs: number;
};

export type DecisionFilter = {
  /** True: only denied ones; false: only others. */
  readonly denied?: boolean;
  /** Milliseconds since the epoch, inclusive. */
  readonly since?: number;
  readonly namespace?: string;
  readonly pod?: string;
  readonly limit: number;
};

export type DecisionsReader = {
  /** The newest first. @throws RecordStoreError. */
  list(filter: DecisionFilter): readonly DecisionEntry[];
  /** How many there are, whatever the filter's limit. @throws RecordStoreError. */
  count(filter: DecisionFilter): number;
  close(): void;
};

export type Decisions = DecisionsReader & {
  /** Never throws: a verdict does not wait for its entry in the audit trail. */
  append(entry: DecisionEntry): void;
};

type DecisionsOptions = {
  /** An entry was lost, or the file had to be set aside or replaced by memory. */
  readonly onProblem?: (problem: RecordStoreError) => void;
  /** Entries kept at most; about a hundred more for a while. */
  readonly maxRows?: number;
  readonly maxAgeMs?: number;
};

const DATABASE = 'decisions.db';
const MAX_ROWS = 100_000;
const MAX_AGE_MS = 30 * 24 * 60 * 60 * 1_000;
/**
 * Old entries go once in so many, at most so many times as many at once: no append has to wait for a big
 * deletion.
 */
const PRUNE_EVERY = 100;
const PRUNE_AT_MOST = 10 * PRUNE_EVERY;
const MAX_TEXT = 1_024;

/**
 * Opens the audit trail: `decisions.db`, a file of its own, so that it cannot take the records with it. WAL
 * with synchronous NORMAL: an entry survives the death of the agent as soon as append returns; a power cut
 * may take the last moments.
 *
 * Never throws. A damaged file is set aside; where there can be none (or a newer Pullwarden's is there),
 * entries are kept in memory, with the same bounds, and `onProblem` says so.
 */
export function openDecisions(stateDir: string, options: DecisionsOptions = {}): Decisions {
  const onProblem = options.onProblem ?? (() => {});
  const path = join(stateDir, DATABASE);
  try {
    prepareStateDirectory(stateDir);
    return new SqliteDecisions(openSound(path, onProblem), options);
  } catch (error) {
    const { reason, message } = databaseError(error, `cannot use ${path}`);
    onProblem(
      new RecordStoreError(reason, `the audit trail is kept in memory only: ${message}`, { cause: error }),
    );
    const db = openDatabaseInMemory();
    migrate(db, MIGRATIONS);
    return new SqliteDecisions(db, options);
  }
}

/** For the command line while the agent runs. @throws RecordStoreError. */
export function openDecisionsReadOnly(stateDir: string): DecisionsReader {
  const path = join(stateDir, DATABASE);
  const db = openDatabaseFileReadOnly(path);
  try {
    refuseNewer(db, MIGRATIONS.length);
    if (schemaVersion(db) === MIGRATIONS.length) {
      return {
        list: (filter) => listDecisions(db, filter),
        count: (filter) => countDecisions(db, filter),
        close: () => db.close(),
      };
    }
    throw new RecordStoreError(
      'databaseFailed',
      `${path} has to be brought up to date: start the agent once`,
    );
  } catch (error) {
    db.close();
    throw databaseError(error, `cannot read ${path}`);
  }
}

function openSound(path: string, onProblem: (problem: RecordStoreError) => void): Database {
  try {
    return openMigrated(path);
  } catch (error) {
    const failure = databaseError(error, `cannot use ${path}`);
    if (failure.reason !== 'databaseCorrupt') throw failure;
    const dated = setAside(path);
    onProblem(new RecordStoreError('databaseCorrupt', `${failure.message}; kept as ${dated}`));
    return openMigrated(path);
  }
}

function openMigrated(path: string): Database {
  if (existsSync(path) && statSync(path).size > 0) {
    const peek = openDatabaseFileReadOnly(path);
    try {
      refuseNewer(peek, MIGRATIONS.length);
    } finally {
      peek.close();
    }
  }
  const db = openDatabaseFile(path, 'NORMAL');
  try {
    migrate(db, MIGRATIONS);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

class SqliteDecisions implements Decisions {
  readonly #db: Database;
  readonly #onProblem: (problem: RecordStoreError) => void;
  readonly #maxRows: number;
  readonly #maxAgeMs: number;
  readonly #insert;
  readonly #expire;
  #untilPrune = 0;

  constructor(db: Database, options: DecisionsOptions) {
    this.#db = db;
    this.#onProblem = options.onProblem ?? (() => {});
    this.#maxRows = options.maxRows ?? MAX_ROWS;
    this.#maxAgeMs = options.maxAgeMs ?? MAX_AGE_MS;
    this.#insert = db.prepare<[DecisionEntry]>(INSERT);
    this.#expire = db.prepare<[{ maxRows: number; oldest: number; atMost: number }]>(EXPIRE);
  }

  append(entry: DecisionEntry): void {
    try {
      this.#insert.run(bounded(entry));
      this.#untilPrune -= 1;
      if (this.#untilPrune >= 0) return;
      this.#untilPrune = PRUNE_EVERY;
      const oldest = entry.time - this.#maxAgeMs;
      this.#expire.run({ maxRows: this.#maxRows, oldest, atMost: PRUNE_AT_MOST });
    } catch (error) {
      this.#onProblem(databaseError(error, 'a decision was not written to the audit trail'));
    }
  }

  list(filter: DecisionFilter): readonly DecisionEntry[] {
    return listDecisions(this.#db, filter);
  }

  count(filter: DecisionFilter): number {
    return countDecisions(this.#db, filter);
  }

  close(): void {
    this.#db.close();
  }
}

function listDecisions(db: Database, filter: DecisionFilter): readonly DecisionEntry[] {
  try {
    return db.prepare<[object], DecisionEntry>(LIST).all({ ...conditions(filter), limit: filter.limit });
  } catch (error) {
    throw databaseError(error, 'cannot read the audit trail');
  }
}

function countDecisions(db: Database, filter: DecisionFilter): number {
  try {
    return db.prepare<[object], number>(COUNT).pluck().get(conditions(filter)) ?? 0;
  } catch (error) {
    throw databaseError(error, 'cannot read the audit trail');
  }
}

function conditions({ denied, since, namespace, pod }: DecisionFilter): object {
  return {
    denied: denied === undefined ? null : Number(denied),
    since: since ?? null,
    namespace: namespace ?? null,
    pod: pod ?? null,
  };
}

function bounded(entry: DecisionEntry): DecisionEntry {
  const cut = (text: string) => (text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT - 1)}…` : text);
  return {
    ...entry,
    namespace: cut(entry.namespace),
    pod: cut(entry.pod),
    podUid: cut(entry.podUid),
    container: cut(entry.container),
    containerId: cut(entry.containerId),
    image: cut(entry.image),
    imageRef: cut(entry.imageRef),
    message: cut(entry.message),
    outcome: cut(entry.outcome),
  };
}

const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE decisions (
    id INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    namespace TEXT NOT NULL,
    pod TEXT NOT NULL,
    pod_uid TEXT NOT NULL,
    container TEXT NOT NULL,
    container_id TEXT NOT NULL,
    image TEXT NOT NULL,
    image_ref TEXT NOT NULL,
    pull_policy TEXT NOT NULL,
    verdict TEXT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    mode TEXT NOT NULL,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL,
    duration_ms REAL NOT NULL
  ) STRICT;
  CREATE INDEX decisions_by_time ON decisions (time_ms);
  `,
];

const INSERT = `
  INSERT INTO decisions (
    time_ms, namespace, pod, pod_uid, container, container_id, image, image_ref,
    pull_policy, verdict, reason, message, mode, action, outcome, duration_ms
  ) VALUES (
    @time, @namespace, @pod, @podUid, @container, @containerId, @image, @imageRef,
    @pullPolicy, @verdict, @reason, @message, @mode, @action, @outcome, @durationMs
  )`;

// Ids have no gaps but at the start, so the newest maxRows are those above the highest id less maxRows.
const EXPIRE = `
  DELETE FROM decisions WHERE id IN (
    SELECT id FROM decisions
    WHERE id <= (SELECT max(id) FROM decisions) - @maxRows
    UNION ALL
    SELECT id FROM decisions WHERE time_ms < @oldest
    LIMIT @atMost
  )`;

const MATCHING = `
  WHERE (@denied IS NULL OR (verdict = 'denied') = @denied)
    AND (@since IS NULL OR time_ms >= @since)
    AND (@namespace IS NULL OR namespace = @namespace)
    AND (@pod IS NULL OR pod = @pod)`;

const COUNT = `SELECT count(*) FROM decisions ${MATCHING}`;

const LIST = `
  SELECT
    time_ms AS time, namespace, pod, pod_uid AS podUid, container, container_id AS containerId, image,
    image_ref AS imageRef, pull_policy AS pullPolicy, verdict, reason, message, mode, action, outcome,
    duration_ms AS durationMs
  FROM decisions
  ${MATCHING}
  ORDER BY id DESC
  LIMIT @limit`;
