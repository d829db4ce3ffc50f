import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exportRecords } from '../../../agent/commands/records/export.ts';
import { importRecords } from '../../../agent/commands/records/import.ts';
import { credentialHash } from '../../../agent/credentials/credential-hash.ts';
import { CommandError } from '../../../agent/errors.ts';
import {
  formatPulledRecord,
  formatPullIntent,
  kubeletFileName,
} from '../../../agent/records/kubelet/format.ts';
import type { RecordStore } from '../../../agent/records/record-store.ts';
import { openRecordStore } from '../../../agent/records/sqlite/open.ts';
import type { ImagePullCredentials, ImagePulledRecord } from '../../../agent/records/types.ts';

const captured = join(import.meta.dirname, '../../captures/kubelet-records');
const IMAGE_REF = `sha256:${'a1'.repeat(32)}`;
const OTHER_REF = `sha256:${'b2'.repeat(32)}`;
const APP = 'reg.example/app';
const TIME = Date.UTC(2026, 0, 2, 3, 4, 5);
const plainHash = credentialHash({ username: 'alice', password: 'S3CRET', email: '' });

let folder: string;
let output: string;
let files: { file: string; result: string; reason?: string; emptyHashes?: number }[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pullwarden-transfer-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function print(text: string): void {
  output = text;
  files = JSON.parse(text);
}

function importFrom(kubeletDir: string, state = 'state'): number {
  return importRecords({ stateDir: join(folder, state) }, kubeletDir, { output: 'json', print });
}

function exportTo(kubeletDir: string, podsDirectory?: string): Promise<number> {
  const config = {
    stateDir: join(folder, 'state'),
    podsDirectory,
    kubeconfig: undefined,
    nodeName: 'node-a',
  };
  return exportRecords(config, kubeletDir, { output: 'json', print });
}

/** A kubelet's root directory with these files under image_manager/. */
function kubelet(contents: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(folder, 'kubelet-'));
  for (const part of ['pulled', 'pulling']) mkdirSync(join(root, 'image_manager', part), { recursive: true });
  for (const [name, text] of Object.entries(contents)) writeFileSync(join(root, 'image_manager', name), text);
  return root;
}

function recordFile(fields: Partial<ImagePulledRecord> & { entry?: ImagePullCredentials }) {
  const imageRef = fields.imageRef ?? IMAGE_REF;
  const credentialMapping = new Map(fields.entry ? [[APP, fields.entry]] : []);
  const text = formatPulledRecord({ imageRef, lastUpdatedTime: TIME, credentialMapping, ...fields });
  return { [`pulled/${kubeletFileName(imageRef)}`]: text };
}

function intentFile(image: string) {
  return { [`pulling/${kubeletFileName(image)}`]: formatPullIntent(image) };
}

function secretOf(name: string, hash = plainHash) {
  return { namespace: 'team-a', name, uid: `uid-${name}`, credentialHash: hash };
}

/** The store as an agent that starts, or runs, sees it. */
function withAgent<Result>(
  look: (store: RecordStore, keyedHash: (hash: string) => string) => Result,
  state = 'state',
): Result {
  const { store, keyedHash } = openRecordStore({ stateDir: join(folder, state) });
  expect(store.degraded).toBeUndefined();
  try {
    return look(store, keyedHash);
  } finally {
    store.close();
  }
}

function entryOf(store: RecordStore): ImagePullCredentials | undefined {
  return store.pulledRecord(IMAGE_REF)?.credentialMapping.get(APP);
}

function manifest(name: string, password: string): string {
  const auth = Buffer.from(`alice:${password}`).toString('base64');
  const config = Buffer.from(JSON.stringify({ auths: { 'reg.example': { auth } } })).toString('base64');
  return JSON.stringify({
    kind: 'Secret',
    apiVersion: 'v1',
    metadata: { namespace: 'team-a', name, uid: `uid-${name}` },
    type: 'kubernetes.io/dockerconfigjson',
    data: { '.dockerconfigjson': config },
  });
}

function tree(root: string): Record<string, string> {
  const paths = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((path) =>
    statSync(join(root, path)).isFile(),
  );
  return Object.fromEntries(paths.sort().map((path) => [path, readFileSync(join(root, path), 'utf8')]));
}

describe('records import', () => {
  it("takes kubelet's own files, from its root directory or from image_manager itself", () => {
    cpSync(captured, join(folder, 'root/image_manager'), { recursive: true });
    expect(importFrom(join(folder, 'root'))).toBe(0);
    expect(files).toMatchObject([{ result: 'imported' }]);
    expect(importFrom(captured)).toBe(0);
    expect(files).toMatchObject([{ result: 'unchanged' }]);
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
    for (const [name, content] of Object.entries(tree(join(folder, 'state')))) {
      expect({ name, plain: content.includes(plainHash) }).toEqual({ name, plain: false });
    }
    expect(output).not.toContain(plainHash);
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
    expect(() => importFrom(join(folder, 'nowhere'))).toThrow(CommandError);
  });
});

describe('a broken file', () => {
  const good = recordFile({ entry: { nodePodsAccessible: true } });
  const [goodName = '', goodText = ''] = Object.entries(good)[0] ?? [];
  const name = kubeletFileName(OTHER_REF);

  function expectSkipped(root: string, file: string, reason: string): void {
    expect(importFrom(root)).toBe(1);
    expect(files).toHaveLength(2);
    expect(files.find((one) => one.file === file)).toMatchObject({ result: 'skipped', reason });
    expect(files.filter(({ result }) => result === 'imported')).toHaveLength(1);
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
    rmSync(join(folder, 'state'), { recursive: true });
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
    expect(files).toHaveLength(1);
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

describe('records export', () => {
  it('gives what kubelet wrote, to the byte, when the secrets are at hand', async () => {
    const entry = { kubernetesSecrets: [secretOf('alice')] };
    const root = kubelet({ ...recordFile({ entry }), ...intentFile('busybox:1') });
    const manifests = join(folder, 'manifests');
    mkdirSync(manifests);
    writeFileSync(join(manifests, 'alice.json'), manifest('alice', 'S3CRET'));
    importFrom(root);
    expect(await exportTo(join(folder, 'out'), manifests)).toBe(0);
    expect(tree(join(folder, 'out'))).toEqual(tree(root));
    expect(files).toMatchObject([{ result: 'written' }, { result: 'written' }]);
    expect(await exportTo(join(folder, 'out'), manifests)).toBe(0);
    expect(files).toMatchObject([{ result: 'unchanged' }, { result: 'unchanged' }]);
  });

  it.each([
    ['is not at hand', 'bob', 'S3CRET'],
    ['has changed', 'alice', 'another'],
  ])('leaves the hash out when the secret %s', async (_, name, password) => {
    importFrom(kubelet(recordFile({ entry: { kubernetesSecrets: [secretOf('alice')] } })));
    const manifests = join(folder, 'manifests');
    mkdirSync(manifests);
    writeFileSync(join(manifests, 'secret.json'), manifest(name, password));
    expect(await exportTo(join(folder, 'out'), manifests)).toBe(0);
    expect(files).toMatchObject([{ result: 'written', emptyHashes: 1 }]);
    expect(tree(join(folder, 'out/image_manager'))).toEqual(
      recordFile({ entry: { kubernetesSecrets: [secretOf('alice', '')] } }),
    );
  });

  it('does not take a secret of the same name for the one on record', async () => {
    importFrom(kubelet(recordFile({ entry: { kubernetesSecrets: [secretOf('alice')] } })));
    const manifests = join(folder, 'manifests');
    mkdirSync(manifests);
    writeFileSync(join(manifests, 'a.json'), manifest('alice', 'S3CRET').replace('uid-alice', 'uid-new'));
    await exportTo(join(folder, 'out'), manifests);
    expect(files).toMatchObject([{ emptyHashes: 1 }]);
  });

  it('comes back the same through an empty state directory', async () => {
    withAgent((store) => {
      store.mergeCredentials(APP, IMAGE_REF, { kubernetesSecrets: [secretOf('b'), secretOf('a')] });
      store.mergeCredentials('busybox', IMAGE_REF, { nodePodsAccessible: true });
      store.mergeCredentials(APP, OTHER_REF, {});
      store.recordPullIntent('busybox:1');
    });
    await exportTo(join(folder, 'first'));
    rmSync(join(folder, 'state'), { recursive: true });
    expect(importFrom(join(folder, 'first'))).toBe(0);
    await exportTo(join(folder, 'second'));
    expect(Object.keys(tree(join(folder, 'first')))).toHaveLength(3);
    expect(tree(join(folder, 'second'))).toEqual(tree(join(folder, 'first')));
  });

  it("is for kubelet's eyes only, leaves no half file and keeps what else is there", async () => {
    importFrom(kubelet(recordFile({ entry: { nodePodsAccessible: true } })));
    const other = recordFile({ imageRef: OTHER_REF });
    const file = kubeletFileName(IMAGE_REF);
    // Killed before it could be renamed, by an export and by kubelet; and a record that is replaced.
    const left = {
      [`pulled/${file}.pullwarden.tmp`]: 'half',
      [`pulled/${file}.tmp`]: "kubelet's",
      [`pulled/${file}`]: 'older',
    };
    const root = kubelet({ ...other, ...left });
    const umask = process.umask(0o277);
    try {
      expect(await exportTo(root)).toBe(0);
    } finally {
      process.umask(umask);
    }
    const {
      [`pulled/${file}.pullwarden.tmp`]: half,
      [`pulled/${file}`]: written,
      ...rest
    } = tree(join(root, 'image_manager'));
    expect(half).toBeUndefined();
    expect(written).toContain(IMAGE_REF);
    expect(rest).toEqual({ ...other, [`pulled/${file}.tmp`]: "kubelet's" });
    expect(statSync(join(root, 'image_manager/pulled', file)).mode & 0o777).toBe(0o600);
  });

  it('makes folders that only their owner may enter', async () => {
    importFrom(captured);
    await exportTo(join(folder, 'out'));
    for (const path of ['image_manager', 'image_manager/pulled', 'image_manager/pulling']) {
      expect(statSync(join(folder, 'out', path)).mode & 0o777).toBe(0o700);
    }
  });

  it('says which file could not be written', async () => {
    importFrom(kubelet(recordFile({ entry: { nodePodsAccessible: true } })));
    const root = kubelet({});
    mkdirSync(join(root, 'image_manager/pulled', kubeletFileName(IMAGE_REF)));
    expect(await exportTo(root)).toBe(1);
    expect(files).toMatchObject([{ result: 'skipped', reason: 'unwritable' }]);
    expect(readdirSync(join(root, 'image_manager/pulled'))).toHaveLength(1);
  });

  it('needs a place to make folders in', async () => {
    importFrom(captured);
    writeFileSync(join(folder, 'file'), '');
    await expect(exportTo(join(folder, 'file'))).rejects.toThrow(CommandError);
  });
});
