import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import SqliteDatabase from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { RecordStoreError } from '../../../agent/errors.ts';
import { META } from '../../../agent/records/meta.ts';
import { put } from '../../../agent/records/rows.ts';
import {
  openRecordStore,
  openRecordStoreForEditing,
  openRecordStoreReadOnly,
  type RecordNotice,
} from '../../../agent/records/sqlite/open.ts';
import { SqliteRows } from '../../../agent/records/sqlite/sqlite-rows.ts';
import { useStateDirectory } from '../state-directory.ts';

const imageRef = `sha256:${'a'.repeat(64)}`;
const image = 'reg.example.com/team-a/app:1';
const trimmed = 'reg.example.com/team-a/app';
const present = [{ id: imageRef, repoTags: [image], repoDigests: [] }];
const plainHash = createHash('sha256').update('{"username":"alice","password":"alicepw"}').digest('hex');

const stateDir = useStateDirectory();

function open() {
  const notices: RecordNotice['kind'][] = [];
  const opened = openRecordStore({ stateDir: stateDir(), onNotice: ({ kind }) => notices.push(kind) });
  return { ...opened, notices };
}

/** A node that has run before: an inventory with one image, and a pull of another name of it. */
function runBefore(): void {
  const { store, keyedHash } = open();
  store.takeInventory(present);
  const secret = { namespace: 'team-a', name: 'alice', uid: 'u1', credentialHash: keyedHash(plainHash) };
  store.recordImagePulled(image, imageRef, { kubernetesSecrets: [secret] });
  store.close();
}

function file(name: string): string {
  return join(stateDir(), name);
}

function mode(path: string): string {
  return (statSync(path).mode & 0o777).toString(8);
}

function hashesOf(store: { pulledRecord: ReturnType<typeof open>['store']['pulledRecord'] }): string[] {
  const secrets = store.pulledRecord(imageRef)?.credentialMapping.get(trimmed)?.kubernetesSecrets ?? [];
  return secrets.map(({ credentialHash }) => credentialHash);
}

describe('first run', () => {
  it('makes a database and a key that only the owner can read', () => {
    const { store, firstRun, notices } = open();
    store.recordPullIntent(image);
    expect({ firstRun, degraded: store.degraded, notices }).toEqual({
      firstRun: true,
      degraded: undefined,
      notices: [],
    });
    expect(mode(stateDir())).toBe('700');
    for (const name of ['records.db', 'records.db-wal', 'records.db-shm', 'hmac.key']) {
      expect([name, mode(file(name))]).toEqual([name, '600']);
    }
    expect(readFileSync(file('hmac.key'))).toHaveLength(32);
    expect(readdirSync(stateDir()).filter((name) => name.startsWith('.'))).toEqual([]);
    expect(store.hasInventory).toBe(false);
    store.close();
  });

  it('is over on the second', () => {
    runBefore();
    const { store, firstRun, notices } = open();
    expect({ firstRun, notices }).toEqual({ firstRun: false, notices: [] });
    expect(store.isPreloaded(imageRef, trimmed)).toBe(true);
    expect(store.takeInventory([])).toBe(false);
    store.close();
  });

  it('may still take an inventory when it was killed before it did', () => {
    open().store.close();
    const { store } = open();
    expect(store.takeInventory(present)).toBe(true);
    store.close();
  });
});

describe('keyed hashes', () => {
  it('are the same after a restart, and empty stays empty', () => {
    const first = open();
    const keyed = first.keyedHash(plainHash);
    first.store.close();
    const second = open();
    expect(second.keyedHash(plainHash)).toBe(keyed);
    expect(second.keyedHash('')).toBe('');
    second.store.close();
  });

  it('leave no trace of the plain hash on the disk', () => {
    runBefore();
    for (const name of readdirSync(stateDir())) {
      expect(readFileSync(file(name)).includes(plainHash)).toBe(false);
    }
  });

  it.each([
    ['lost', () => rmSync(file('hmac.key'))],
    ['too short', () => truncateSync(file('hmac.key'), 31)],
    ['too long', () => writeFileSync(file('hmac.key'), Buffer.alloc(33))],
    ['empty', () => truncateSync(file('hmac.key'), 0)],
    ['another one', () => writeFileSync(file('hmac.key'), Buffer.alloc(32, 7))],
  ])('and all else on record count for nothing when the key is %s', (_how, damage) => {
    runBefore();
    damage();
    const { store, firstRun, notices } = open();
    expect(firstRun).toBe(false);
    expect(notices.filter((kind) => kind !== 'keyReplaced')).toEqual(['databaseSetAside', 'databaseRebuilt']);
    expect(store.pulledRecord(imageRef)).toBeUndefined();
    expect(store.isPreloaded(imageRef, trimmed)).toBe(false);
    expect(store.takeInventory(present)).toBe(false);
    store.close();

    const again = open();
    expect(again.notices).toEqual([]);
    expect(readFileSync(file('hmac.key'))).toHaveLength(32);
    again.store.close();
  });

  it('have a key that nobody else reads: one that others could is said and repaired', () => {
    runBefore();
    chmodSync(file('hmac.key'), 0o644);
    const { store, notices } = open();
    expect(notices).toEqual(['keyReadableByOthers']);
    expect(mode(file('hmac.key'))).toBe('600');
    expect(hashesOf(store)).toHaveLength(1);
    store.close();
  });
});

describe('a damaged database', () => {
  const garbage = Buffer.alloc(20_000, 'this is not a database ');

  it.each([
    ['is garbage', () => writeFileSync(file('records.db'), garbage), true],
    ['is overwritten behind its header', () => overwrite(file('records.db'), 4_096, garbage), true],
    ['is cut short', () => truncateSync(file('records.db'), 6_000), true],
    ['has lost a table', () => edit('DROP TABLE preloaded_images'), true],
    ['says that it is older', () => edit('PRAGMA user_version = 1'), true],
    ['says that it is empty', () => edit('PRAGMA user_version = 0'), true],
    ['says that it is newer, and its rows do not', () => edit('PRAGMA user_version = 258'), true],
    ['is empty', () => truncateSync(file('records.db'), 0), false],
    ['is gone', () => rmSync(file('records.db')), false],
  ])('that %s is rebuilt, and nothing is preloaded any more', (_how, damage, aside) => {
    runBefore();
    damage();
    const { store, firstRun, notices } = open();
    expect(firstRun).toBe(false);
    expect(notices).toEqual(aside ? ['databaseSetAside', 'databaseRebuilt'] : ['databaseRebuilt']);
    expect(store.hasInventory).toBe(true);
    expect(store.takeInventory(present)).toBe(false);
    expect(store.isPreloaded(imageRef, trimmed)).toBe(false);
    expect(store.pulledRecord(imageRef)).toBeUndefined();
    store.recordImagePulled(image, imageRef, { nodePodsAccessible: true });
    store.close();
    expect(readdirSync(stateDir()).some((name) => name.startsWith('records.db.damaged-'))).toBe(aside);

    const again = open();
    expect(again.notices).toEqual([]);
    expect(again.store.pulledRecord(imageRef)?.credentialMapping.size).toBe(1);
    again.store.close();
  });

  it('takes its log with it when it is set aside', () => {
    runBefore();
    writeFileSync(file('records.db'), garbage);
    writeFileSync(file('records.db-wal'), garbage);
    const { store } = open();
    store.close();
    const aside = readdirSync(stateDir()).filter((name) => name.includes('.damaged-'));
    expect(aside.some((name) => name.endsWith('-wal'))).toBe(true);
  });

  it('is no first run even when the agent was killed after setting it aside and the key was lost', () => {
    runBefore();
    writeFileSync(file('records.db'), garbage);
    open().store.close();
    for (const name of ['records.db', 'hmac.key']) rmSync(file(name));
    const { store, firstRun } = open();
    expect(firstRun).toBe(false);
    expect(store.hasInventory).toBe(true);
    store.close();
  });

  it('is kept three times at most', () => {
    for (let time = 0; time < 6; time += 1) {
      open().store.close();
      writeFileSync(file('records.db'), garbage);
    }
    open().store.close();
    const aside = readdirSync(stateDir()).filter((name) =>
      /\.damaged-[^-]+-\d\d-\d\dT[^-]+-\d\d-[^-]+$/.test(name),
    );
    expect(aside).toHaveLength(3);
  });
});

describe('rows that something else has changed', () => {
  it.each([
    ['somebody else may use it', `UPDATE pull_entries SET credentials = '{"nodePodsAccessible":0}'`],
    ['it is another image', `UPDATE pull_entries SET image_id = '${'b'.repeat(64)}'`],
    ['its record is another', "UPDATE pulled_records SET image_ref = 'sha256:other'"],
    ['an entry without its record', "UPDATE pulled_records SET row_check = 'x'"],
    ['no check', "UPDATE pull_entries SET row_check = ''"],
  ])('(%s) count as absent, with a notice', (_what, sql) => {
    runBefore();
    edit(sql);
    const { store, notices } = open();
    expect(notices).toEqual(['recordsUnreadable']);
    expect(hashesOf(store)).toEqual([]);
    expect([...store.listGrants()]).toEqual([]);
    expect(store.isPreloaded(imageRef, trimmed)).toBe(true);
    store.close();

    const again = open();
    expect(again.notices).toEqual([]);
    expect([...again.store.listGrants()]).toEqual([]);
    again.store.close();
  });

  it.each([
    ['is gone', "DELETE FROM meta WHERE name = 'inventory'"],
    ['has another name', "UPDATE meta SET name = 'inventori' WHERE name = 'inventory'"],
    ['has another time', "UPDATE meta SET value = '1' WHERE name = 'inventory'"],
    ['is to be taken once more', "UPDATE meta SET value = 'pending' WHERE name = 'inventory'"],
  ])('take the whole inventory with them when the row of it %s', (_what, sql) => {
    runBefore();
    edit(sql);
    const { store, notices } = open();
    expect(notices).toContain('inventoryLost');
    expect(store.hasInventory).toBe(true);
    expect(store.takeInventory(present)).toBe(false);
    expect(store.isPreloaded(`sha256:${'b'.repeat(64)}`, '')).toBe(false);
    store.close();
    const again = open();
    expect(again.notices).toEqual([]);
    expect(again.store.takeInventory(present)).toBe(false);
    again.store.close();
  });

  it('take the inventory with them that was not taken yet: what they kept from being preloaded is not known', () => {
    const first = open();
    first.store.recordPullIntent(image);
    first.store.close();
    edit("UPDATE pull_intents SET image = 'another'");
    const { store, notices } = open();
    expect(notices).toEqual(['inventoryLost', 'recordsUnreadable']);
    expect(store.hasInventory).toBe(true);
    store.close();
  });
});

describe('a database that a newer Pullwarden wrote', () => {
  it('is refused and stays as it is, to the byte', () => {
    runBefore();
    const db = new SqliteDatabase(file('records.db'));
    new SqliteRows(db, readFileSync(file('hmac.key'))).putAll([put('meta', [META.schemaVersion], ['99'])]);
    db.pragma('user_version = 99');
    db.close();
    const before = readFileSync(file('records.db'));
    const kept = readdirSync(stateDir());
    expect(() => open()).toThrow(/schema version 99/);
    expect(() => open()).toThrow(RecordStoreError);
    expect(() => openRecordStoreReadOnly(stateDir())).toThrow(/schema version 99/);
    expect(() => openRecordStoreForEditing(stateDir())).toThrow(/schema version 99/);
    expect(readFileSync(file('records.db')).equals(before)).toBe(true);
    expect(readdirSync(stateDir()).filter((name) => !/-(wal|shm)$/.test(name))).toEqual(kept);
  });
});

describe('the command line, while the agent runs', () => {
  it('reads the records and cannot change them', () => {
    const agent = open();
    agent.store.recordImagePulled(image, imageRef, { nodePodsAccessible: true });
    const { store, keyedHash } = openRecordStoreReadOnly(stateDir());
    expect(store.listPulledRecords()).toEqual(agent.store.listPulledRecords());
    expect(keyedHash?.(plainHash)).toBe(agent.keyedHash(plainHash));
    expect(() => store.forget(imageRef)).toThrow(expect.objectContaining({ reason: 'databaseReadOnly' }));
    expect(store.listPulledRecords()).toHaveLength(1);
    agent.store.recordImagePulled(image, 'sha256:later', { nodePodsAccessible: true });
    store.refresh();
    expect(store.listPulledRecords()).toHaveLength(2);
    store.close();
    agent.store.close();
  });

  it('reads them after the agent has stopped', () => {
    runBefore();
    const { store } = openRecordStoreReadOnly(stateDir());
    expect(store.listPulledRecords()).toHaveLength(1);
    store.close();
  });

  it('makes nothing where no agent has run', () => {
    expect(() => openRecordStoreReadOnly(stateDir())).toThrow(RecordStoreError);
    expect(() => openRecordStoreForEditing(stateDir())).toThrow(RecordStoreError);
    expect(existsSync(stateDir())).toBe(false);
  });

  it('forgets, and the agent hears of it with its next refresh or write', () => {
    const agent = open();
    agent.store.recordImagePulled(image, imageRef, { nodePodsAccessible: true });
    agent.store.recordPullIntent(image);
    agent.store.recordPullIntent(image);
    const { store: commandLine } = openRecordStoreForEditing(stateDir());
    expect(commandLine.forget(imageRef, trimmed)).toBe(true);
    agent.store.refresh();
    expect(agent.store.pulledRecord(imageRef)?.credentialMapping.size).toBe(0);

    agent.store.mergeCredentials(image, imageRef, { nodePodsAccessible: true });
    expect(commandLine.forget(imageRef, trimmed)).toBe(true);
    // Not refreshed, but what is written goes on top of what is there.
    agent.store.mergeCredentials('busybox:1', imageRef, { nodePodsAccessible: true });
    expect([...(agent.store.pulledRecord(imageRef)?.credentialMapping.keys() ?? [])]).toEqual(['busybox']);
    // Pulls in flight are still counted.
    agent.store.recordImagePullFailed(image);
    expect(agent.store.listPullIntents()).toEqual([image]);
    commandLine.close();
    agent.store.close();
  });
});

function edit(sql: string): void {
  const db = new SqliteDatabase(file('records.db'));
  db.exec(sql);
  db.close();
}

function overwrite(path: string, from: number, bytes: Buffer): void {
  const content = readFileSync(path);
  bytes.copy(content, from);
  writeFileSync(path, content);
}
