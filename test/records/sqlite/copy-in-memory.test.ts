import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import SqliteDatabase from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { META } from '../../../agent/records/meta.ts';
import { put, TABLES } from '../../../agent/records/rows.ts';
import { copyInMemory } from '../../../agent/records/sqlite/copy-in-memory.ts';
import { schemaVersion } from '../../../agent/records/sqlite/migrations.ts';
import {
  type OpenedRecordStore,
  openRecordStore,
  openRecordStoreReadOnly,
} from '../../../agent/records/sqlite/open.ts';
import { SqliteRows } from '../../../agent/records/sqlite/sqlite-rows.ts';
import { useStateDirectory } from '../state-directory.ts';
import { imageOf, refOf } from './child-images.ts';

const stateDir = useStateDirectory();
const secret = { namespace: 'team-a', name: 'regcred', uid: 'uid-1' };
const preloaded = { id: refOf(9), repoTags: [imageOf(9)], repoDigests: [] };

/** Runs on a file system of its own; these tests need root, as the agent does. */
function onMount(size: string, run: (folder: string, remount: (options: string) => void) => void): void {
  const folder = stateDir();
  mkdirSync(folder, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder]);
  try {
    run(folder, (options) => execFileSync('mount', ['-o', `remount,${options}`, folder]));
  } finally {
    execFileSync('umount', ['-l', folder]);
  }
}

/** Leaves nothing free, so that not even a -shm can be made. */
function fill(folder: string): void {
  for (let size = 65_536, at = 0; size >= 1; ) {
    try {
      writeFileSync(join(folder, `ballast-${at}`), Buffer.alloc(size));
      at += 1;
    } catch {
      size = Math.floor(size / 4);
    }
  }
}

function writeRecords({ store, keyedHash }: OpenedRecordStore): void {
  store.takeInventory([preloaded]);
  const credentialHash = keyedHash('a hash');
  store.recordImagePulled(imageOf(1), refOf(1), { kubernetesSecrets: [{ ...secret, credentialHash }] });
  store.recordImagePulled(imageOf(2), refOf(2), { kubernetesSecrets: [{ ...secret, credentialHash }] });
  store.revokeSecret(refOf(2), 'reg.example.com/team-2/app', secret);
}

function expectRecords({ store, keyedHash }: OpenedRecordStore): void {
  const secretsOf = (number: number) =>
    store.pulledRecord(refOf(number))?.credentialMapping.get(`reg.example.com/team-${number}/app`)
      ?.kubernetesSecrets ?? [];
  expect(secretsOf(1)).toEqual([{ ...secret, credentialHash: keyedHash('a hash') }]);
  expect(secretsOf(2)).toEqual([]);
  expect(store.isPreloaded(preloaded.id, 'reg.example.com/team-9/app')).toBe(true);
}

/** A directory as a kill leaves it: everything is in the log, nothing in the database. */
function directoryWithLog(writes: (opened: OpenedRecordStore) => void = writeRecords): string {
  const opened = openRecordStore({ stateDir: stateDir() });
  writes(opened);
  const copy = `${stateDir()}-copy`;
  rmSync(copy, { recursive: true, force: true });
  cpSync(stateDir(), copy, { recursive: true });
  rmSync(join(copy, 'records.db-shm'), { force: true });
  opened.store.close();
  return copy;
}

describe('a node that restarts and cannot write its records', () => {
  it('goes on with them on a disk that is full', () => {
    onMount('1m', (folder) => {
      const opened = openRecordStore({ stateDir: folder });
      writeRecords(opened);
      opened.store.close();
      fill(folder);
      const again = openRecordStore({ stateDir: folder });
      expect(again.store.degraded?.reason).toBe('databaseFull');
      expect(again.firstRun).toBe(false);
      expectRecords(again);
      again.store.close();
    });
  });

  it('goes on with them on a file system that is read only, also with those in the log', () => {
    const killed = directoryWithLog();
    for (const from of [stateDir(), killed]) {
      const copy = `${from}-before`;
      cpSync(from, copy, { recursive: true });
      onMount('1m', (folder, remount) => {
        cpSync(copy, folder, { recursive: true });
        expect(existsSync(join(folder, 'records.db-wal'))).toBe(from === killed);
        remount('ro');
        const again = openRecordStore({ stateDir: folder });
        expect(again.store.degraded?.reason).toBe('databaseReadOnly');
        expectRecords(again);
        expect(existsSync(join(folder, 'records.db-shm'))).toBe(false);
        again.store.close();
      });
    }
  });

  it('takes no inventory where none was taken', () => {
    onMount('1m', (folder, remount) => {
      openRecordStore({ stateDir: folder }).store.close();
      remount('ro');
      const { store } = openRecordStore({ stateDir: folder });
      expect(store.takeInventory([preloaded])).toBe(false);
      expect(store.isPreloaded(preloaded.id, 'reg.example.com/team-9/app')).toBe(false);
      store.close();
    });
  });

  it('begins with nothing where the key of the rows is lost', () => {
    onMount('1m', (folder, remount) => {
      const opened = openRecordStore({ stateDir: folder });
      writeRecords(opened);
      opened.store.close();
      rmSync(join(folder, 'hmac.key'));
      remount('ro');
      const { store } = openRecordStore({ stateDir: folder });
      expect(store.degraded?.reason).toBe('databaseReadOnly');
      expect(store.listPulledRecords()).toEqual([]);
      expect(store.takeInventory([preloaded])).toBe(false);
      store.close();
    });
  });

  it('can be read by the command line, whether a -shm is there or not', () => {
    const killed = directoryWithLog();
    onMount('1m', (folder, remount) => {
      cpSync(killed, folder, { recursive: true });
      remount('ro');
      const { store } = openRecordStoreReadOnly(folder);
      expect(store.listPulledRecords()).toHaveLength(2);
      store.close();
      expect(existsSync(join(folder, 'records.db-shm'))).toBe(false);
    });
  });

  it('begins with nothing, preloaded neither, where the database is damaged', () => {
    onMount('1m', (folder, remount) => {
      const opened = openRecordStore({ stateDir: folder });
      writeRecords(opened);
      opened.store.close();
      const path = join(folder, 'records.db');
      writeFileSync(path, readFileSync(path).fill(0x55, 4_096));
      remount('ro');
      const again = openRecordStore({ stateDir: folder });
      expect(again.store.degraded).toBeDefined();
      expect(again.store.listPulledRecords()).toEqual([]);
      expect(again.store.takeInventory([preloaded])).toBe(false);
      again.store.close();
    });
  });

  it('refuses the records of a newer Pullwarden as on a disk that can be written', () => {
    onMount('1m', (folder, remount) => {
      openRecordStore({ stateDir: folder }).store.close();
      const db = new SqliteDatabase(join(folder, 'records.db'));
      const rows = new SqliteRows(db, readFileSync(join(folder, 'hmac.key')));
      rows.putAll([put('meta', [META.schemaVersion], ['99'])]);
      db.pragma('user_version = 99');
      db.close();
      remount('ro');
      expect(() => openRecordStore({ stateDir: folder })).toThrow(/newer/);
    });
  });
});

describe('a log that is brought together with its database', () => {
  const dump = (db: SqliteDatabase.Database): unknown =>
    Object.keys(TABLES).map((table) => db.prepare(`SELECT * FROM ${table}`).all());

  it('gives what SQLite reads, wherever the log was cut off', () => {
    const folder = directoryWithLog((opened) => {
      writeRecords(opened);
      for (let number = 10; number < 20; number += 1)
        opened.store.recordImagePulled(imageOf(number), refOf(number), { nodePodsAccessible: true });
    });
    const path = join(folder, 'records.db');
    const log = readFileSync(`${path}-wal`);
    let compared = 0;
    for (let part = 40; part >= 8; part -= 1) {
      truncateSync(`${path}-wal`, Math.floor((log.length * part) / 40));
      const rescued = copyInMemory(path);
      const copy = `${path}-${part}`;
      cpSync(path, copy);
      cpSync(`${path}-wal`, `${copy}-wal`);
      const sqlite = new SqliteDatabase(copy);
      if (rescued && schemaVersion(sqlite) > 0) {
        expect(dump(rescued)).toEqual(dump(sqlite));
        compared += 1;
      }
      rescued?.close();
      sqlite.close();
    }
    expect(compared).toBeGreaterThan(10);
  });

  it('is not believed when it is damaged before its last commit: that may have been a revocation', () => {
    const path = join(directoryWithLog(), 'records.db');
    const log = readFileSync(`${path}-wal`);
    expect(copyInMemory(path)).toBeDefined();
    for (const at of [4, 40, Math.floor(log.length / 2), log.length - 100]) {
      const damaged = Buffer.from(log);
      damaged.writeUInt8((damaged[at] ?? 0) ^ 0xff, at);
      writeFileSync(`${path}-wal`, damaged);
      expect(copyInMemory(path), `byte ${at}`).toBeUndefined();
    }
  });

  it('is believed with what a write left that was given up at its end', () => {
    const path = join(directoryWithLog(), 'records.db');
    const log = readFileSync(`${path}-wal`);
    const frame = Buffer.concat([log.subarray(32, 32 + 4_120)]);
    // The same salts, a checksum that does not follow, and no commit.
    frame.writeUInt32BE(0, 4);
    writeFileSync(`${path}-wal`, Buffer.concat([log, frame, frame.subarray(0, 100)]));
    expect(copyInMemory(path)?.prepare('SELECT count(*) AS n FROM pulled_records').get()).toEqual({
      n: 2,
    });
  });

  it('is left alone, as the database is', () => {
    const folder = directoryWithLog();
    const path = join(folder, 'records.db');
    const before = [readFileSync(path), readFileSync(`${path}-wal`), statSync(path).mtimeMs];
    copyInMemory(path)?.close();
    expect([readFileSync(path), readFileSync(`${path}-wal`), statSync(path).mtimeMs]).toEqual(before);
  });
});
