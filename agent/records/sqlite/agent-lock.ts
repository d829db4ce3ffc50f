import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import SqliteDatabase from 'better-sqlite3';
import { databaseError, prepareStateDirectory } from './database.ts';

/**
 * Who has the state directory. `host` is the pod's name where there is one; the process id is that of its
 * own namespace.
 */
export type LockHolder = { readonly pid: number; readonly host: string };

export type AgentLock = { release(): void };

export type LockAttempt =
  | { readonly acquired: AgentLock }
  /** `heldBy` undefined: somebody who has not said yet who it is. */
  | { readonly heldBy: LockHolder | undefined };

const LOCK = 'agent.lock';
const HOLDER = 'agent.holder';
/** Within a second the next one takes over. */
const RETRY_MS = 400;

/**
 * Makes sure that one agent works with a state directory. The lock is SQLite's on an empty file, an fcntl
 * lock of the operating system's: it ends with the process, however that ends, and holds across containers
 * that share the directory.
 *
 * @throws RecordStoreError where the directory takes no lock (read-only, full)
 */
export function tryAgentLock(stateDir: string): LockAttempt {
  const path = join(stateDir, LOCK);
  let db: SqliteDatabase.Database | undefined;
  try {
    prepareStateDirectory(stateDir);
    db = new SqliteDatabase(path, { timeout: 0 });
    // SQLite makes it readable for everybody, and its journal takes the mode from it.
    chmodSync(path, 0o600);
    db.exec('BEGIN IMMEDIATE');
  } catch (error) {
    db?.close();
    const failure = databaseError(error, `cannot lock ${path}`, stateDir);
    if (failure.reason === 'databaseBusy') return { heldBy: readHolder(stateDir) };
    throw failure;
  }
  const locked = db;
  sayWhoHolds(stateDir);
  return { acquired: { release: () => locked.close() } };
}

/**
 * Waits until no other agent has the state directory. `onWaiting` is called once, with the holder.
 *
 * @throws RecordStoreError as tryAgentLock; AbortError when `signal` aborts
 */
export async function acquireAgentLock(
  stateDir: string,
  options: {
    readonly signal?: AbortSignal;
    readonly onWaiting?: (heldBy: LockHolder | undefined) => void;
  } = {},
): Promise<AgentLock> {
  let hasSaid = false;
  for (;;) {
    const attempt = tryAgentLock(stateDir);
    if ('acquired' in attempt) return attempt.acquired;
    if (!hasSaid) options.onWaiting?.(attempt.heldBy);
    hasSaid = true;
    await sleep(RETRY_MS, undefined, options.signal && { signal: options.signal });
  }
}

function sayWhoHolds(stateDir: string): void {
  const holder: LockHolder = { pid: process.pid, host: hostname() };
  try {
    writeFileSync(join(stateDir, HOLDER), JSON.stringify(holder), { mode: 0o600 });
  } catch {
    // On a full disk: the lock holds all the same.
  }
}

function readHolder(stateDir: string): LockHolder | undefined {
  try {
    const holder: unknown = JSON.parse(readFileSync(join(stateDir, HOLDER), 'utf8'));
    const isHolder = typeof holder === 'object' && holder !== null && 'pid' in holder && 'host' in holder;
    if (!isHolder || typeof holder.pid !== 'number' || typeof holder.host !== 'string') return undefined;
    return { pid: holder.pid, host: holder.host };
  } catch {
    return undefined;
  }
}
