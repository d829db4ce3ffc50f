import { createHmac } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import SqliteDatabase from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { keyCheckValue } from '../../../agent/records/keyed-hash.ts';
import { openRecordStore, openRecordStoreReadOnly } from '../../../agent/records/sqlite/open.ts';
import { VERSION_1 } from '../../../agent/records/sqlite/schema.ts';
import { useStateDirectory } from '../state-directory.ts';

const stateDir = useStateDirectory();
const key = Buffer.alloc(32, 7);
const hash = createHmac('sha256', key).update('a hash').digest('hex');
const id = 'a'.repeat(64);
const secret = { namespace: 'team-a', name: 'regcred', uid: 'u1', credentialHash: hash };

/** A state directory as Pullwarden left it before rows had checks. */
function directoryOfVersion1(change = ''): void {
  mkdirSync(stateDir(), { recursive: true });
  writeFileSync(join(stateDir(), 'hmac.key'), key, { mode: 0o600 });
  const db = new SqliteDatabase(join(stateDir(), 'records.db'));
  db.exec(`${VERSION_1};
    INSERT INTO meta VALUES ('keyCheck', '${keyCheckValue(key)}'), ('inventoryTakenAt', '1000');
    INSERT INTO pulled_records VALUES ('${id}', 'sha256:${id}', 2000);
    INSERT INTO pull_credentials VALUES
      ('${id}', 'reg.example/app', 'kubernetesSecret', 'team-a', 'regcred', 'u1', '${hash}'),
      ('${id}', 'reg.example/app', 'kubernetesServiceAccount', 'team-b', 'builder', 'u2', ''),
      ('${id}', 'busybox', 'nodePodsAccessible', '', '', '', ''),
      ('${id}', 'nonsense', 'everybody', '', '', '', '');
    INSERT INTO pull_intents VALUES ('reg.example/other:1');
    INSERT INTO preloaded_images VALUES ('${'b'.repeat(64)}', 'docker.io/library/alpine');
    PRAGMA user_version = 1;
    ${change}`);
  db.close();
}

function open() {
  const notices: string[] = [];
  const opened = openRecordStore({ stateDir: stateDir(), onNotice: ({ kind }) => notices.push(kind) });
  return { ...opened, notices };
}

describe('records of before rows had checks', () => {
  it('are taken over as they are, once', () => {
    directoryOfVersion1();
    for (const time of ['first', 'second']) {
      const { store, keyedHash, notices } = open();
      expect([time, notices]).toEqual([time, []]);
      expect([...(store.pulledRecord(id)?.credentialMapping ?? [])]).toEqual(
        expect.arrayContaining([
          [
            'reg.example/app',
            {
              kubernetesSecrets: [{ ...secret, credentialHash: keyedHash('a hash') }],
              kubernetesServiceAccounts: [{ namespace: 'team-b', name: 'builder', uid: 'u2' }],
            },
          ],
          ['busybox', { nodePodsAccessible: true }],
        ]),
      );
      expect(store.pulledRecord(id)?.credentialMapping.get('nonsense') ?? {}).toEqual({});
      expect(store.pulledRecord(id)?.lastUpdatedTime).toBe(2_000);
      expect(store.listPullIntents()).toEqual(['reg.example/other:1']);
      expect(store.isPreloaded('b'.repeat(64), 'docker.io/library/alpine')).toBe(true);
      expect(store.takeInventory([])).toBe(false);
      store.close();
    }
  });

  it.each([
    ['lost its inventory', "DELETE FROM meta WHERE name = 'inventoryTakenAt'"],
    ['lost it to one bit', "UPDATE meta SET name = 'inventoryTakenAu' WHERE name = 'inventoryTakenAt'"],
    ['was made with another key', "UPDATE meta SET value = 'another' WHERE name = 'keyCheck'"],
  ])('preload nothing where the database %s', (_how, change) => {
    directoryOfVersion1(`${change};`);
    const { store } = open();
    expect(store.takeInventory([{ id, repoTags: ['busybox:1'], repoDigests: [] }])).toBe(false);
    expect(store.hasInventory).toBe(true);
    store.close();
  });

  it("are the agent's to bring up to date, not a command's", () => {
    directoryOfVersion1();
    expect(() => openRecordStoreReadOnly(stateDir())).toThrow(/start the agent once/);
  });
});
