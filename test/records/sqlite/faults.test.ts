import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import SqliteDatabase from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { checkAccess } from '../../../agent/access/record/check-access.ts';
import { makePolicy } from '../../../agent/access/record/policy.ts';
import { openDecisions } from '../../../agent/records/decisions.ts';
import { openRecordStore } from '../../../agent/records/sqlite/open.ts';
import { useStateDirectory } from '../state-directory.ts';
import { imageOf, refOf } from './child-images.ts';

const stateDir = useStateDirectory();
const policy = makePolicy('NeverVerifyPreloadedImages');

/** Runs on a file system of its own; these tests need root, as the agent does. */
function onMount<T>(options: string, run: (remount: (options: string) => void, stateDir: string) => T): T {
  const mountPoint = stateDir();
  mkdirSync(mountPoint, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', mountPoint]);
  try {
    const remount = (changed: string) => execFileSync('mount', ['-o', `remount,${changed}`, mountPoint]);
    return run(remount, mountPoint);
  } finally {
    execFileSync('umount', ['-l', mountPoint]);
  }
}

function fill(folder: string): () => void {
  const ballast = join(folder, 'ballast');
  for (let size = 65_536, at = 0; size >= 1_024; ) {
    try {
      writeFileSync(`${ballast}-${at}`, Buffer.alloc(size));
      at += 1;
    } catch {
      size /= 4;
    }
  }
  return () => execFileSync('sh', ['-c', 'rm -f "$0"-*', ballast]);
}

describe('a process that is killed', () => {
  it('loses no settled pull and makes no permission of an unsettled one', { timeout: 60_000 }, async () => {
    for (const killAfter of [1, 7, 20, 33, 51]) {
      rmSync(stateDir(), { recursive: true, force: true });
      const child = spawn(process.execPath, [join(import.meta.dirname, 'child-writer.ts'), stateDir()], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const settled: number[] = [];
      const begun: number[] = [];
      const exited = once(child, 'exit');
      for await (const line of createInterface({ input: child.stdout })) {
        const [what, number] = line.split(' ');
        (what === 'settled' ? settled : begun).push(Number(number));
        // From here the child goes on for as long as the signal takes, so it dies anywhere in its loop.
        if (settled.length === killAfter) child.kill('SIGKILL');
      }
      await exited;
      expect(settled.length).toBeGreaterThanOrEqual(killAfter);

      const { store } = openRecordStore({ stateDir: stateDir() });
      expect(store.degraded).toBeUndefined();
      for (const number of settled) {
        const record = store.pulledRecord(refOf(number));
        expect(record?.credentialMapping.size, `settled pull ${number}`).toBe(1);
      }
      // The child announces a pull before it records the intent, and a settled one after it is recorded.
      const unsettled = begun.filter((number) => !settled.includes(number));
      const present = unsettled.map((number) => ({
        id: refOf(number),
        repoTags: [imageOf(number)],
        repoDigests: [],
      }));
      const settledUnheard = unsettled.filter((number) => store.pulledRecord(refOf(number)) !== undefined);
      expect(settledUnheard.length).toBeLessThanOrEqual(1);
      store.reconcilePullIntents(present);
      expect(store.listPullIntents()).toEqual([]);
      for (const number of unsettled.filter((each) => !settledUnheard.includes(each))) {
        const question = { image: imageOf(number), imageRef: refOf(number) };
        expect(checkAccess(store, policy, question, { secrets: [] }).result).toBe('mustAuthenticate');
      }
      store.close();
    }
  });

  it('leaves its intents to the next one', async () => {
    const child = spawn(
      process.execPath,
      [join(import.meta.dirname, 'child-writer.ts'), stateDir(), 'intents'],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    const exited = once(child, 'exit');
    for await (const line of createInterface({ input: child.stdout }))
      if (line === 'intent 9') child.kill('SIGKILL');
    await exited;
    const { store } = openRecordStore({ stateDir: stateDir() });
    expect(store.listPullIntents()).toEqual(expect.arrayContaining([imageOf(0), imageOf(9)]));
    store.close();
  });
});

describe('a log that was cut off', () => {
  it('loses pulls from its end at most, and never half of one', () => {
    const { store } = openRecordStore({ stateDir: stateDir() });
    store.takeInventory([]);
    for (let number = 0; number < 20; number += 1) {
      store.recordPullIntent(imageOf(number));
      store.recordImagePulled(imageOf(number), refOf(number), { nodePodsAccessible: true });
    }
    const copy = `${stateDir()}-copy`;
    const log = join(copy, 'records.db-wal');
    const size = statSync(join(stateDir(), 'records.db-wal')).size;
    for (let part = 0; part <= 20; part += 1) {
      rmSync(copy, { recursive: true, force: true });
      cpSync(stateDir(), copy, { recursive: true });
      rmSync(join(copy, 'records.db-shm'));
      truncateSync(log, Math.floor((size * part) / 20));
      const notices: string[] = [];
      const cut = openRecordStore({ stateDir: copy, onNotice: ({ kind }) => notices.push(kind) }).store;
      const records = cut.listPulledRecords();
      expect(notices.filter((kind) => kind === 'recordsUnreadable')).toEqual([]);
      expect(records.map(({ credentialMapping }) => credentialMapping.size)).toEqual(records.map(() => 1));
      const settled = Array.from(
        { length: 20 },
        (_, number) => cut.pulledRecord(refOf(number)) !== undefined,
      );
      expect(settled).toEqual(settled.map((_, number) => number < records.length));
      if (part === 20) expect(records).toHaveLength(20);
      cut.close();
    }
    store.close();
  });
});

describe('a disk that is full', () => {
  it('while running keeps what is new in memory, says so, and writes it once there is space', () => {
    onMount('size=768k', (_remount, folder) => {
      const notices: string[] = [];
      const onNotice = ({ kind }: { kind: string }) => notices.push(kind);
      const { store, standing } = openRecordStore({ stateDir: folder, onNotice });
      store.takeInventory([]);
      const secret = { namespace: 'team-1', name: 'regcred', uid: 'u1', credentialHash: 'h' };
      const question = { image: imageOf(1), imageRef: refOf(1) };
      const ask = () => checkAccess(store, policy, question, { secrets: [secret] }).result;
      const free = fill(folder);
      // The log file may have some room in its last block.
      let written = 1;
      while (store.degraded === undefined) {
        written += 1;
        store.recordImagePulled(imageOf(written), refOf(written), { nodePodsAccessible: true });
      }
      expect(store.degraded.reason).toBe('databaseFull');
      expect(notices).toEqual(['degraded']);

      store.recordPullIntent(imageOf(1));
      expect(ask()).toBe('mustAuthenticate');
      store.recordImagePulled(imageOf(1), refOf(1), { kubernetesSecrets: [secret] });
      expect(ask()).toBe('credentialRecordFound');
      standing.add({ namespace: 'a', imageRef: refOf(1), trimmedImage: 't', since: 1, by: 'granted' });
      expect(standing.has('a', refOf(1), 't')).toBe(true);
      expect(store.listPullIntents()).toEqual([]);
      expect(store.listPulledRecords()).toHaveLength(written);

      free();
      store.revokeSecret(refOf(1), 'reg.example.com/team-1/app', secret);
      expect(store.degraded).toBeUndefined();
      expect(notices).toEqual(['degraded', 'recovered']);
      store.close();
      const again = openRecordStore({ stateDir: folder });
      expect(again.store.listPulledRecords()).toHaveLength(written);
      expect(again.store.pulledRecord(refOf(1))?.credentialMapping.size).toBe(0);
      expect(again.standing.list()).toHaveLength(1);
      again.store.close();
    });
  });

  it('takes no inventory that a restart would have to take once more', () => {
    onMount('size=768k', (_remount, folder) => {
      const { store } = openRecordStore({ stateDir: folder });
      const free = fill(folder);
      while (store.degraded === undefined) store.recordPullIntent(`${imageOf(1)}${Math.random()}`);
      expect(() => store.takeInventory([])).toThrow(expect.objectContaining({ reason: 'databaseFull' }));
      expect(store.hasInventory).toBe(false);
      free();
      expect(store.takeInventory([])).toBe(true);
      store.close();
    });
  });

  it('at start gives a store in memory in which nothing is preloaded', () => {
    onMount('size=64k', (_remount, folder) => {
      fill(folder);
      const { store, firstRun } = openRecordStore({ stateDir: folder });
      expect(store.degraded?.reason).toBe('databaseFull');
      expect(firstRun).toBe(false);
      expect(store.takeInventory([{ id: refOf(1), repoTags: [imageOf(1)], repoDigests: [] }])).toBe(false);
      expect(checkAccess(store, policy, { image: imageOf(1), imageRef: refOf(1) }).result).toBe(
        'mustAuthenticate',
      );
      store.recordImagePulled(imageOf(1), refOf(1), { nodePodsAccessible: true });
      expect(store.listPulledRecords()).toHaveLength(1);
      store.close();
    });
  });
});

describe('a state directory that cannot be written', () => {
  it('at start gives a store in memory and leaves the records as they are', () => {
    onMount('size=2m', (remount, folder) => {
      const before = openRecordStore({ stateDir: folder });
      before.store.takeInventory([{ id: refOf(1), repoTags: [imageOf(1)], repoDigests: [] }]);
      before.store.close();
      const written = readFileSync(join(folder, 'records.db'));
      remount('ro');
      const { store } = openRecordStore({ stateDir: folder });
      expect(store.degraded?.reason).toBe('databaseReadOnly');
      store.recordImagePulled(imageOf(2), refOf(2), { nodePodsAccessible: true });
      store.forget(refOf(1));
      store.close();
      expect(readFileSync(join(folder, 'records.db'))).toEqual(written);
      remount('rw');
      const again = openRecordStore({ stateDir: folder });
      expect(again.store.degraded).toBeUndefined();
      expect(again.store.isPreloaded(refOf(1), 'reg.example.com/team-1/app')).toBe(true);
      again.store.close();
    });
  });

  it('is one as well when it is a file', () => {
    writeFileSync(stateDir(), '');
    expect(openRecordStore({ stateDir: stateDir() }).store.degraded).toBeDefined();
    expect(readFileSync(stateDir(), 'utf8')).toBe('');
  });
});

describe('another process that holds the database', () => {
  it('fails a write as busy and changes nothing', { timeout: 30_000 }, () => {
    const { store } = openRecordStore({ stateDir: stateDir() });
    const other = new SqliteDatabase(join(stateDir(), 'records.db'));
    other.exec('BEGIN IMMEDIATE');
    const write = () => store.recordImagePulled(imageOf(1), refOf(1), { nodePodsAccessible: true });
    expect(write).toThrow(expect.objectContaining({ reason: 'databaseBusy' }));
    expect(store.listPulledRecords()).toEqual([]);
    other.exec('ROLLBACK');
    other.close();
    write();
    expect(store.listPulledRecords()).toHaveLength(1);
    store.close();
  });
});

describe('the audit trail on a full disk', () => {
  it('reports what it could not write and goes on', () => {
    onMount('size=256k', (_remount, folder) => {
      const problems: string[] = [];
      const decisions = openDecisions(folder, { onProblem: ({ reason }) => problems.push(reason) });
      const free = fill(folder);
      const entry = { namespace: 'a', pod: 'p', podUid: 'u', container: 'c', containerId: 'id', image: 'i' };
      const rest = {
        imageRef: 'r',
        pullPolicy: 'Always',
        verdict: 'allowed',
        reason: 'x',
        message: 'm',
      } as const;
      const append = () =>
        decisions.append({
          time: 1,
          ...entry,
          ...rest,
          mode: 'audit',
          action: 'none',
          outcome: '',
          durationMs: 1,
        });
      for (let count = 0; count < 500; count += 1) append();
      expect(problems).toContain('databaseFull');
      free();
      const lost = problems.length;
      append();
      expect(problems).toHaveLength(lost);
      expect(decisions.list({ limit: 1_000 })).toHaveLength(501 - lost);
      decisions.close();
    });
  });
});
