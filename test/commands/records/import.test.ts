import { cpSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CommandError } from '../../../agent/errors.ts';
import { formatPullIntent, kubeletFileName } from '../../../agent/records/kubelet/format.ts';
import {
  APP,
  captured,
  entryOf,
  IMAGE_REF,
  importFrom,
  intentFile,
  kubelet,
  OTHER_REF,
  plainHash,
  recordFile,
  secretOf,
  TIME,
  tree,
  useScene,
  withAgent,
} from './transfer-scene.ts';

const scene = useScene();

describe('records import', () => {
  it("takes kubelet's own files, from its root directory or from image_manager itself", () => {
    cpSync(captured, join(scene.folder, 'root/image_manager'), { recursive: true });
    expect(importFrom(join(scene.folder, 'root'))).toBe(0);
    expect(scene.files).toMatchObject([{ result: 'imported' }]);
    expect(importFrom(captured)).toBe(0);
    expect(scene.files).toMatchObject([{ result: 'unchanged' }]);
    withAgent((store) => {
      const [record] = store.listPulledRecords();
      expect(record?.lastUpdatedTime).toBe(Date.UTC(2026, 10, 23, 3, 41, 28));
      expect([...(record?.credentialMapping.keys() ?? [])]).toEqual([
        '127.0.0.1:5000/team-a/app',
        '127.0.0.1:5001/public/copy',
      ]);
    });
  });

  it('keys the hash and keeps the plain one nowhere', () => {
    importFrom(kubelet(recordFile({ entry: { kubernetesSecrets: [secretOf('alice')] } })));
    withAgent((store, keyedHash) => {
      expect(entryOf(store)).toEqual({ kubernetesSecrets: [secretOf('alice', keyedHash(plainHash))] });
    });
    for (const [name, content] of Object.entries(tree(join(scene.folder, 'state')))) {
      expect({ name, plain: content.includes(plainHash) }).toEqual({ name, plain: false });
    }
    expect(scene.output).not.toContain(plainHash);
  });

  it('is seen by an agent that runs', () => {
    withAgent((store) => {
      importFrom(kubelet(recordFile({ entry: { nodePodsAccessible: true } })));
      store.refresh();
      expect(entryOf(store)).toEqual({ nodePodsAccessible: true });
    });
  });

  it('merges with what is there: nobody loses a right, a newer file brings newer hashes', () => {
    const mine = [secretOf('alice', 'mine'), secretOf('bob', 'mine'), secretOf('carol', '')];
    const theirs = [secretOf('alice', 'theirs'), secretOf('bob', ''), secretOf('carol'), secretOf('dave')];
    const from = (time: number) =>
      kubelet(recordFile({ lastUpdatedTime: time, entry: { kubernetesSecrets: theirs } }));
    withAgent((store) => store.mergeCredentials(`${APP}:1`, IMAGE_REF, { kubernetesSecrets: mine }));

    importFrom(from(TIME));
    withAgent((store, keyedHash) => {
      const hash = keyedHash(plainHash);
      expect(entryOf(store)?.kubernetesSecrets).toEqual([
        secretOf('alice', 'mine'),
        secretOf('bob', 'mine'),
        secretOf('carol', hash),
        secretOf('dave', hash),
      ]);
      expect(store.pulledRecord(IMAGE_REF)?.lastUpdatedTime).toBeGreaterThan(TIME);
    });

    importFrom(from(Date.now() + 86_400_000));
    withAgent((store, keyedHash) => {
      expect(entryOf(store)?.kubernetesSecrets?.slice(0, 2)).toEqual([
        secretOf('alice', keyedHash('theirs')),
        secretOf('bob', 'mine'),
      ]);
      expect(store.pulledRecord(IMAGE_REF)?.lastUpdatedTime).toBeLessThanOrEqual(Date.now());
    });
  });

  it('merges secrets and service accounts alike, and every pod swallows them', () => {
    const account = { namespace: 'team-a', name: 'builder', uid: 'u' };
    const entry = { kubernetesSecrets: [secretOf('alice', '')], kubernetesServiceAccounts: [account] };
    withAgent((store) =>
      store.mergeCredentials(APP, IMAGE_REF, { kubernetesSecrets: [secretOf('bob', '')] }),
    );
    importFrom(kubelet(recordFile({ entry })));
    withAgent((store) =>
      expect(entryOf(store)).toEqual({
        kubernetesSecrets: [secretOf('alice', ''), secretOf('bob', '')],
        kubernetesServiceAccounts: [account],
      }),
    );
    importFrom(kubelet(recordFile({ entry: { nodePodsAccessible: true } })));
    withAgent((store) => expect(entryOf(store)).toEqual({ nodePodsAccessible: true }));
  });

  it('refuses a directory where no kubelet has kept records', () => {
    expect(() => importFrom(join(scene.folder, 'nowhere'))).toThrow(CommandError);
  });
});

describe('a broken file', () => {
  const good = recordFile({ entry: { nodePodsAccessible: true } });
  const [goodName = '', goodText = ''] = Object.entries(good)[0] ?? [];
  const name = kubeletFileName(OTHER_REF);

  function expectSkipped(root: string, file: string, reason: string): void {
    expect(importFrom(root)).toBe(1);
    expect(scene.files).toHaveLength(2);
    expect(scene.files.find((one) => one.file === file)).toMatchObject({ result: 'skipped', reason });
    expect(scene.files.filter(({ result }) => result === 'imported')).toHaveLength(1);
    withAgent((store) => expect(store.listPulledRecords()).toHaveLength(1));
  }

  it.each([
    ['notJson', name, '{"kind":"ImagePulledRecord"'],
    ['notJson', name, ''],
    ['wrongKind', name, formatPullIntent('busybox')],
    ['malformed', name, goodText.replace('"imageRef"', '"ref"')],
    ['nameMismatch', name, goodText],
    ['nameMismatch', 'README', goodText],
    ['tooLarge', name, ' '.repeat(4 * 1024 * 1024 + 1)],
  ])('is listed as %s and passed over', (reason, file, text) => {
    expectSkipped(kubelet({ ...good, [`pulled/${file}`]: text }), file, reason);
  });

  it('is not followed where it is a link, nor entered where it is a folder', () => {
    const linked = kubelet(good);
    symlinkSync(join(linked, 'image_manager', goodName), join(linked, 'image_manager/pulled', name));
    expectSkipped(linked, name, 'notAFile');
    rmSync(join(scene.folder, 'state'), { recursive: true });
    const nested = kubelet(good);
    mkdirSync(join(nested, 'image_manager/pulled', name));
    expectSkipped(nested, name, 'notAFile');
  });

  it('is an intent, too', () => {
    const root = kubelet({ ...good, [`pulling/${name}`]: formatPullIntent('busybox') });
    expectSkipped(root, name, 'nameMismatch');
  });

  it("is not what kubelet's death left half written", () => {
    expect(importFrom(kubelet({ ...good, [`pulled/${name}.tmp`]: '{"kind"' }))).toBe(0);
    expect(scene.files).toHaveLength(1);
  });
});

describe('what was imported is not preloaded', () => {
  const present = [
    { id: IMAGE_REF, repoTags: [`${APP}:1`, 'docker.io/library/busybox:1'], repoDigests: [] },
    { id: OTHER_REF, repoTags: ['reg.example/other:1'], repoDigests: [] },
  ];

  it('when the agent starts for the first time: content with a record is tracked, as kubelet has it', () => {
    importFrom(kubelet(recordFile({ entry: { kubernetesSecrets: [secretOf('alice')] } })));
    withAgent((store) => {
      expect(store.takeInventory(present)).toBe(true);
      expect(store.isPreloaded(IMAGE_REF, APP)).toBe(false);
      expect(store.isPreloaded(IMAGE_REF, 'docker.io/library/busybox')).toBe(false);
      expect(store.isPreloaded(OTHER_REF, 'reg.example/other')).toBe(true);
    });
  });

  it('when its record could not be read', () => {
    importFrom(kubelet({ [`pulled/${kubeletFileName(OTHER_REF)}`]: 'broken' }));
    withAgent((store) => {
      store.takeInventory(present);
      expect(store.isPreloaded(OTHER_REF, 'reg.example/other')).toBe(false);
      expect(store.isPreloaded(IMAGE_REF, APP)).toBe(true);
    });
  });

  it('unless a later import could read it', () => {
    const file = `pulled/${kubeletFileName(OTHER_REF)}`;
    importFrom(kubelet({ [file]: 'broken' }));
    importFrom(kubelet(recordFile({ imageRef: OTHER_REF })));
    withAgent((store) => {
      store.forget(OTHER_REF);
      store.pruneUnknownRecords([], Date.now() + 1);
      store.takeInventory(present);
      expect(store.isPreloaded(OTHER_REF, 'reg.example/other')).toBe(true);
    });
  });

  it('when it was in the inventory: under the names that kubelet pulled it by', () => {
    withAgent((store) => store.takeInventory(present));
    importFrom(kubelet(recordFile({ entry: { kubernetesSecrets: [secretOf('alice')] } })));
    withAgent((store) => {
      expect(store.isPreloaded(IMAGE_REF, APP)).toBe(false);
      expect(store.isPreloaded(IMAGE_REF, 'docker.io/library/busybox')).toBe(true);
    });
  });

  it('when it was in the inventory, and nobody is on record or the record is broken: under no name', () => {
    withAgent((store) => store.takeInventory(present));
    importFrom(kubelet({ ...recordFile({}), [`pulled/${kubeletFileName(OTHER_REF)}`]: 'broken' }));
    withAgent((store) => {
      expect(store.pulledRecord(IMAGE_REF)?.credentialMapping.size).toBe(0);
      expect(store.isPreloaded(IMAGE_REF, 'docker.io/library/busybox')).toBe(false);
      expect(store.isPreloaded(OTHER_REF, 'reg.example/other')).toBe(false);
    });
  });

  it('when kubelet kept it by repository and digest, as it did on CRI-O before 1.36', () => {
    const byDigest = `${APP}@sha256:${'d'.repeat(64)}`;
    const account = { namespace: 'team-b', name: 'builder', uid: 'u2' };
    const entry = { kubernetesSecrets: [secretOf('alice')], kubernetesServiceAccounts: [account] };
    const listed = [{ id: IMAGE_REF, repoTags: [`${APP}:1`], repoDigests: [byDigest] }];
    expect(importFrom(kubelet(recordFile({ imageRef: byDigest, entry })))).toBe(0);
    withAgent((store) => {
      expect(store.matchImportedRecords(listed)).toBe(1);
      store.takeInventory(listed);
      expect(store.isPreloaded(IMAGE_REF, APP)).toBe(false);
      const known = store.pulledRecord(IMAGE_REF)?.credentialMapping.get(APP);
      expect(known?.kubernetesSecrets).toMatchObject([{ name: 'alice' }]);
      expect(known?.kubernetesServiceAccounts).toEqual([account]);
    });
  });

  it('when its pull was never settled: it gets a record without credentials at the next start', () => {
    expect(importFrom(kubelet({ ...intentFile('busybox:1'), ...intentFile('reg.example/other:1') }))).toBe(0);
    withAgent((store) => {
      store.takeInventory(present);
      expect(store.isPreloaded(IMAGE_REF, 'docker.io/library/busybox')).toBe(false);
      expect(store.isPreloaded(IMAGE_REF, APP)).toBe(true);
      expect(store.isPreloaded(OTHER_REF, '')).toBe(false);
      store.reconcilePullIntents(present);
      expect(store.pulledRecord(OTHER_REF)?.credentialMapping.size).toBe(0);
      expect(store.listPullIntents()).toEqual(['busybox:1']);
    });
  });
});
