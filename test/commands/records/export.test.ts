import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CommandError } from '../../../agent/errors.ts';
import { kubeletFileName } from '../../../agent/records/kubelet/format.ts';
import {
  APP,
  captured,
  exportTo,
  IMAGE_REF,
  importFrom,
  intentFile,
  kubelet,
  manifest,
  OTHER_REF,
  recordFile,
  secretOf,
  tree,
  useScene,
  withAgent,
} from './transfer-scene.ts';

const scene = useScene();

describe('records export', () => {
  it('gives what kubelet wrote, to the byte, when the secrets are at hand', async () => {
    const entry = { kubernetesSecrets: [secretOf('alice')] };
    const root = kubelet({ ...recordFile({ entry }), ...intentFile('busybox:1') });
    const manifests = join(scene.folder, 'manifests');
    mkdirSync(manifests);
    writeFileSync(join(manifests, 'alice.json'), manifest('alice', 'S3CRET'));
    importFrom(root);
    expect(await exportTo(join(scene.folder, 'out'), manifests)).toBe(0);
    expect(tree(join(scene.folder, 'out'))).toEqual(tree(root));
    expect(scene.files).toMatchObject([{ result: 'written' }, { result: 'written' }]);
    expect(await exportTo(join(scene.folder, 'out'), manifests)).toBe(0);
    expect(scene.files).toMatchObject([{ result: 'unchanged' }, { result: 'unchanged' }]);
  });

  it.each([
    ['is not at hand', 'bob', 'S3CRET'],
    ['has changed', 'alice', 'another'],
  ])('leaves the hash out when the secret %s', async (_, name, password) => {
    importFrom(kubelet(recordFile({ entry: { kubernetesSecrets: [secretOf('alice')] } })));
    const manifests = join(scene.folder, 'manifests');
    mkdirSync(manifests);
    writeFileSync(join(manifests, 'secret.json'), manifest(name, password));
    expect(await exportTo(join(scene.folder, 'out'), manifests)).toBe(0);
    expect(scene.files).toMatchObject([{ result: 'written', emptyHashes: 1 }]);
    expect(tree(join(scene.folder, 'out/image_manager'))).toEqual(
      recordFile({ entry: { kubernetesSecrets: [secretOf('alice', '')] } }),
    );
  });

  it('does not take a secret of the same name for the one on record', async () => {
    importFrom(kubelet(recordFile({ entry: { kubernetesSecrets: [secretOf('alice')] } })));
    const manifests = join(scene.folder, 'manifests');
    mkdirSync(manifests);
    writeFileSync(join(manifests, 'a.json'), manifest('alice', 'S3CRET').replace('uid-alice', 'uid-new'));
    await exportTo(join(scene.folder, 'out'), manifests);
    expect(scene.files).toMatchObject([{ emptyHashes: 1 }]);
  });

  it('comes back the same through an empty state directory', async () => {
    withAgent((store) => {
      store.mergeCredentials(APP, IMAGE_REF, { kubernetesSecrets: [secretOf('b'), secretOf('a')] });
      store.mergeCredentials('busybox', IMAGE_REF, { nodePodsAccessible: true });
      store.mergeCredentials(APP, OTHER_REF, {});
      store.recordPullIntent('busybox:1');
    });
    await exportTo(join(scene.folder, 'first'));
    rmSync(join(scene.folder, 'state'), { recursive: true });
    expect(importFrom(join(scene.folder, 'first'))).toBe(0);
    await exportTo(join(scene.folder, 'second'));
    expect(Object.keys(tree(join(scene.folder, 'first')))).toHaveLength(3);
    expect(tree(join(scene.folder, 'second'))).toEqual(tree(join(scene.folder, 'first')));
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
    await exportTo(join(scene.folder, 'out'));
    for (const path of ['image_manager', 'image_manager/pulled', 'image_manager/pulling']) {
      expect(statSync(join(scene.folder, 'out', path)).mode & 0o777).toBe(0o700);
    }
  });

  it('says which file could not be written', async () => {
    importFrom(kubelet(recordFile({ entry: { nodePodsAccessible: true } })));
    const root = kubelet({});
    mkdirSync(join(root, 'image_manager/pulled', kubeletFileName(IMAGE_REF)));
    expect(await exportTo(root)).toBe(1);
    expect(scene.files).toMatchObject([{ result: 'skipped', reason: 'unwritable' }]);
    expect(readdirSync(join(root, 'image_manager/pulled'))).toHaveLength(1);
  });

  it('needs a place to make folders in', async () => {
    importFrom(captured);
    writeFileSync(join(scene.folder, 'file'), '');
    await expect(exportTo(join(scene.folder, 'file'))).rejects.toThrow(CommandError);
  });
});
