import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openDirectoryPodSource } from '../../../agent/pods/directory/source.ts';
import type { PodSource } from '../../../agent/pods/pod-source.ts';

let directory: string;
let source: PodSource;
let problems: string[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pullwarden-pods-'));
  problems = [];
  source = openDirectoryPodSource({
    directory,
    onProblem: (problem) => problems.push(problem),
    rescanIntervalMs: 50,
  });
});

afterEach(async () => {
  await source.stop();
  await rm(directory, { recursive: true, force: true });
});

const put = (name: string, text: string): Promise<void> => writeFile(join(directory, name), text);

const web = `
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: team-a, uid: uid-web }
spec:
  imagePullSecrets: [{ name: first }, { name: second }]
  initContainers: [{ name: setup, image: "reg.example.com/setup:1" }]
  containers:
    - { name: app, image: "reg.example.com/app:1", imagePullPolicy: Never }
    - { name: side, image: "reg.example.com/side" }
  ephemeralContainers: [{ name: debugger, image: "reg.example.com/debug@sha256:${'a'.repeat(64)}" }]
`;

const secret = (name: string, value: string): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: 'team-a', uid: `uid-${name}` },
    type: 'kubernetes.io/dockerconfigjson',
    data: { '.dockerconfigjson': Buffer.from(value).toString('base64') },
  });

const webRef = { namespace: 'team-a', name: 'web', uid: 'uid-web' };

describe('a folder of manifests', () => {
  it('serves a pod with every kind of container, secrets in order, and pull policies as the API server defaults them', async () => {
    await put('web.yaml', web);
    await source.start();
    expect(await source.getPod(webRef)).toEqual({
      namespace: 'team-a',
      name: 'web',
      uid: 'uid-web',
      serviceAccountName: 'default',
      imagePullSecrets: ['first', 'second'],
      containers: [
        {
          name: 'setup',
          image: 'reg.example.com/setup:1',
          imagePullPolicy: 'IfNotPresent',
          kind: 'initContainer',
          imageVolumes: [],
        },
        {
          name: 'app',
          image: 'reg.example.com/app:1',
          imagePullPolicy: 'Never',
          kind: 'container',
          imageVolumes: [],
        },
        {
          name: 'side',
          image: 'reg.example.com/side',
          imagePullPolicy: 'Always',
          kind: 'container',
          imageVolumes: [],
        },
        {
          name: 'debugger',
          image: `reg.example.com/debug@sha256:${'a'.repeat(64)}`,
          imagePullPolicy: 'IfNotPresent',
          kind: 'ephemeralContainer',
          imageVolumes: [],
        },
      ],
    });
    expect(source.problem()).toBeUndefined();
  });

  it('reads several documents of a file, lists, and JSON', async () => {
    await put('all.yaml', `${web}\n---\n${secret('first', 'x')}\n---\n# nothing\n---\nkind: ConfigMap\n`);
    await put('list.json', JSON.stringify({ kind: 'List', items: [JSON.parse(secret('second', 'y'))] }));
    await put(
      'typed.json',
      JSON.stringify({
        kind: 'SecretList',
        items: [{ ...JSON.parse(secret('third', 'z')), kind: undefined }],
      }),
    );
    await source.start();
    const values = await Promise.all(
      ['first', 'second', 'third'].map(async (name) =>
        (await source.getSecret('team-a', name))?.data.get('.dockerconfigjson'),
      ),
    );
    expect(values.map(String)).toEqual(['x', 'y', 'z']);
  });

  it('is another pod when the uid is another one', async () => {
    await put('web.yaml', web);
    await source.start();
    expect(await source.getPod({ ...webRef, uid: 'uid-of-the-previous-web' })).toBeUndefined();
  });

  it('goes by the name where the manifest has no uid, as manifests written by hand do not', async () => {
    await put('web.yaml', web.replace(', uid: uid-web', ''));
    await source.start();
    expect((await source.getPod({ ...webRef, uid: 'made-by-the-runtime' }))?.uid).toBe('made-by-the-runtime');
  });

  it('knows a mirror pod by the uid of the static pod that it mirrors', async () => {
    await put(
      'mirror.yaml',
      web.replace('uid: uid-web', 'uid: uid-mirror, annotations: { kubernetes.io/config.mirror: static-1 }'),
    );
    await source.start();
    expect(await source.getPod({ ...webRef, uid: 'static-1' })).toBeDefined();
  });

  it('adds what the service account adds, only to a pod that names no secrets', async () => {
    const account = (name: string, pulls: string): string =>
      `kind: ServiceAccount\nmetadata: { name: ${name}, namespace: team-a }\nimagePullSecrets: [{ name: ${pulls} }]\n`;
    const plain = 'kind: Pod\nmetadata: { name: plain, namespace: team-a }\nspec: { containers: [] }\n';
    await put(
      'all.yaml',
      [account('default', 'from-default'), account('builder', 'from-builder'), web, plain].join('---\n'),
    );
    await put(
      'built.yaml',
      plain
        .replace('name: plain', 'name: built')
        .replace('{ containers', '{ serviceAccountName: builder, containers'),
    );
    await source.start();
    expect((await source.findPod('team-a', 'web'))?.imagePullSecrets).toEqual(['first', 'second']);
    expect((await source.findPod('team-a', 'plain'))?.imagePullSecrets).toEqual(['from-default']);
    expect((await source.findPod('team-a', 'built'))?.imagePullSecrets).toEqual(['from-builder']);
  });

  it('tells of changes, and gives a changed secret another resourceVersion', async () => {
    await put('s.json', secret('first', 'old'));
    await source.start();
    const before = await source.getSecret('team-a', 'first');
    let changes = 0;
    source.onChange(() => {
      changes += 1;
    });
    await put('next.tmp', secret('first', 'new'));
    await rename(join(directory, 'next.tmp'), join(directory, 's.json'));
    await vi.waitFor(() => expect(changes).toBeGreaterThan(0));
    const after = await source.getSecret('team-a', 'first');
    expect(String(after?.data.get('.dockerconfigjson'))).toBe('new');
    expect(after?.resourceVersion).not.toBe(before?.resourceVersion);
    await rm(join(directory, 's.json'));
    await vi.waitFor(async () => expect(await source.getSecret('team-a', 'first')).toBeUndefined());
  });

  it('reads a secret again from the disk when it is asked for a fresh one', async () => {
    const slow = openDirectoryPodSource({
      directory,
      onProblem: () => undefined,
      rescanIntervalMs: 3_600_000,
    });
    await put('s.json', secret('first', 'old'));
    await slow.start();
    await put('s.json', secret('first', 'new'));
    expect(
      String((await slow.getSecret('team-a', 'first', { fresh: true }))?.data.get('.dockerconfigjson')),
    ).toBe('new');
    await slow.stop();
  });

  it('waits briefly for a pod whose manifest is still being written', async () => {
    await source.start();
    const found = source.getPod(webRef);
    await put('web.yaml', web);
    expect((await found)?.name).toBe('web');
  });

  describe('with bad input', () => {
    it('keeps serving what a file last held, and says what is wrong without its content', async () => {
      await put('s.yaml', secret('first', 'good'));
      await source.start();
      await put('s.yaml', 'kind: Secret\nmetadata: { name: first\ndata: hunter2');
      await vi.waitFor(() => expect(problems).toHaveLength(1));
      expect(problems[0]).toMatch(/^directoryUnreadable: s\.yaml: line \d+: \w+$/);
      expect(source.problem()).toBe(problems[0]);
      expect(String((await source.getSecret('team-a', 'first'))?.data.get('.dockerconfigjson'))).toBe('good');
      await put('s.yaml', secret('first', 'mended'));
      await vi.waitFor(() => expect(source.problem()).toBeUndefined());
    });

    it('serves the other objects of a file that holds a malformed one', async () => {
      await put('all.yaml', `kind: Pod\nmetadata: { name: broken }\nspec: { containers: 7 }\n---\n${web}`);
      await source.start();
      expect(await source.getPod(webRef)).toBeDefined();
      expect(problems).toEqual([
        expect.stringMatching(/^directoryUnreadable: all\.yaml: Pod: spec\.containers: /),
      ]);
    });

    it('says of a secret that is not base64 that it cannot be read, not that it is missing', async () => {
      await put(
        's.yaml',
        'kind: Secret\nmetadata: { name: first, namespace: team-a }\ndata: { .dockerconfigjson: "hunter2!" }\n',
      );
      await source.start();
      await expect(source.getSecret('team-a', 'first')).rejects.toMatchObject({ reason: 'secretUnreadable' });
      expect(problems.join()).not.toContain('hunter2');
    });

    it('refuses alias bombs and duplicate keys', async () => {
      const bomb = [
        'a: &a [x,x,x,x,x,x,x,x,x]',
        ...'bcdefghi'
          .split('')
          .map((c, n) => `${c}: &${c} [${Array(9).fill(`*${'abcdefgh'[n]}`).join(',')}]`),
      ];
      await put('bomb.yaml', bomb.join('\n'));
      await put('twice.yaml', 'kind: Pod\nkind: Secret\n');
      await source.start();
      expect(problems).toEqual([
        'directoryUnreadable: bomb.yaml: too many aliases',
        expect.stringMatching(/^directoryUnreadable: twice\.yaml: line 2: DUPLICATE_KEY$/),
      ]);
    });

    it('lists the pods that are being terminated, once it was read', async () => {
      const ending = web.replace(
        'uid: uid-web',
        'uid: uid-web, deletionTimestamp: 2026-06-01T12:00:30Z, deletionGracePeriodSeconds: 30',
      );
      await put('web.yaml', ending);
      await put('other.yaml', web.replace('name: web', 'name: other'));
      expect(source.terminating()).toBeUndefined();
      await source.start();
      expect(source.terminating()).toEqual([
        { namespace: 'team-a', name: 'web', untilMs: Date.parse('2026-06-01T12:00:30Z'), graceMs: 30_000 },
      ]);
      await rm(join(directory, 'web.yaml'));
      await vi.waitFor(() => expect(source.terminating()).toEqual([]));
    });

    it('refuses to start without a folder', async () => {
      const nowhere = openDirectoryPodSource({
        directory: join(directory, 'nowhere'),
        onProblem: () => undefined,
      });
      await expect(nowhere.start()).rejects.toMatchObject({
        name: 'PodSourceError',
        reason: 'directoryUnreadable',
      });
      await put('file', '');
      const file = openDirectoryPodSource({ directory: join(directory, 'file'), onProblem: () => undefined });
      await expect(file.start()).rejects.toMatchObject({ reason: 'directoryUnreadable' });
    });

    it('says so when the folder goes away, and goes on with what it knew', async () => {
      await put('web.yaml', web);
      await source.start();
      await rename(directory, `${directory}-moved`);
      await vi.waitFor(() => expect(source.problem()).toMatch(/^directoryUnreadable: /));
      expect(await source.getPod(webRef)).toBeDefined();
      await rename(`${directory}-moved`, directory);
      await vi.waitFor(() => expect(source.problem()).toBeUndefined());
    });
  });
});
