import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { combinedPodSource } from '../../../agent/pods/combined.ts';
import { openDirectoryPodSource } from '../../../agent/pods/directory/source.ts';
import { openStaticPodSource } from '../../../agent/pods/directory/static-pods.ts';
import type { PodSource } from '../../../agent/pods/pod-source.ts';
import { podObject } from '../kubernetes/objects.ts';
import { eventually, inOrder, openScene, type Scene } from '../kubernetes/scene.ts';

/** As kubelet computes it for a pod whose manifest has none. */
const COMPUTED = 'bcfd6d5262f8a9d2cfd3c1cfb4fba896';
const UUID = 'fd2f403d-f5f7-43bd-a2ba-355eed4407ef';

let directory: string;
let problems: string[];
let source: PodSource;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pullwarden-static-'));
  problems = [];
  const onProblem = (problem: string): number => problems.push(problem);
  source = openStaticPodSource({ directory, nodeName: 'Node-1', onProblem });
});

afterEach(async () => {
  await source.stop();
  await rm(directory, { recursive: true, force: true });
});

const manifest = (name: string, { namespace = '', uid = '' } = {}): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, ...(namespace && { namespace }), ...(uid && { uid }) },
    spec: { containers: [{ name: 'app', image: `reg.example.com/${name}:1` }] },
  });

const put = (file: string, text: string): Promise<void> => writeFile(join(directory, file), text);
const imageOf = async (name: string, uid = COMPUTED, namespace = 'default') =>
  (await source.getPod({ namespace, name, uid }))?.containers[0]?.image;

describe('static pods', () => {
  it('are named after the node, from every file that is not hidden, whatever its extension', async () => {
    await put('web.yaml', manifest('web'));
    await put('etcd', manifest('etcd', { namespace: 'kube-system' }));
    await put('proxy.manifest', manifest('proxy'));
    await put('.hidden.yaml', manifest('hidden'));
    await source.start();
    expect(await source.getPod({ namespace: 'default', name: 'web-node-1', uid: COMPUTED })).toMatchObject({
      name: 'web-node-1',
      namespace: 'default',
      uid: COMPUTED,
      serviceAccountName: '',
      configSource: 'file',
    });
    expect(await imageOf('etcd-node-1', COMPUTED, 'kube-system')).toBe('reg.example.com/etcd:1');
    expect(await imageOf('proxy-node-1')).toBe('reg.example.com/proxy:1');
    expect(await imageOf('hidden-node-1')).toBeUndefined();
    expect(await imageOf('web')).toBeUndefined();
  });

  it('are not found under the uid of an API pod, unless their manifest has it', async () => {
    await put('web.yaml', manifest('web'));
    await put('own.yaml', manifest('own', { uid: UUID }));
    await source.start();
    expect(await imageOf('web-node-1', UUID)).toBeUndefined();
    expect(await imageOf('own-node-1', UUID)).toBe('reg.example.com/own:1');
    expect(await imageOf('own-node-1', COMPUTED)).toBeUndefined();
  });

  it('are one to a file, the first; other kinds are reported', async () => {
    await put('two.yaml', `---\n${manifest('first')}\n---\n${manifest('second')}\n`);
    await put('secret.yaml', '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"hunter2"}}');
    await source.start();
    expect(await imageOf('first-node-1')).toBe('reg.example.com/first:1');
    expect(await imageOf('second-node-1')).toBeUndefined();
    expect(problems).toEqual(['directoryUnreadable: secret.yaml: not a Pod']);
  });
});

describe('a folder of manifests for a node', () => {
  it('has its pods under their own names and under those that kubelet gives them', async () => {
    await put('web', manifest('web'));
    source = openDirectoryPodSource({ directory, nodeName: 'Node-1', onProblem: () => undefined });
    await source.start();
    expect(await imageOf('web')).toBe('reg.example.com/web:1');
    expect(await source.getPod({ namespace: 'default', name: 'web-node-1', uid: COMPUTED })).toMatchObject({
      name: 'web-node-1',
      configSource: 'file',
    });
    expect(await imageOf('web-node-2')).toBeUndefined();
  });

  it('does not take a file of very many documents apart', async () => {
    await put('many.yaml', '--- {}\n'.repeat(100_000));
    source = openDirectoryPodSource({ directory, onProblem: (problem) => problems.push(problem) });
    await source.start();
    expect(problems).toEqual(['directoryUnreadable: many.yaml: more than 1000 documents']);
  });
});

describe('static pods beside an API server', () => {
  let scene: Scene;
  let both: PodSource;

  beforeEach(async () => {
    await put('web.yaml', manifest('web'));
    scene = await openScene({ start: false, given: (server) => void server.putPod(podObject('api')) });
    both = combinedPodSource(scene.source, source);
    await both.start();
    await inOrder(scene);
  });

  afterEach(() => scene.close());

  const staticWeb = { namespace: 'default', name: 'web-node-1', uid: COMPUTED };

  it('are both found', async () => {
    const api = await both.findPod('team-a', 'api');
    expect(api).toMatchObject({ configSource: 'api' });
    expect(await both.getPod({ namespace: 'team-a', name: 'api', uid: api?.uid ?? '' })).toMatchObject({
      name: 'api',
    });
    expect(await both.getPod(staticWeb)).toMatchObject({ configSource: 'file' });
    expect(await both.getPod({ ...staticWeb, configSource: 'file' })).toMatchObject({ configSource: 'file' });
    expect(scene.server.requestsFor('get', 'pods')).toEqual([]);
  });

  it('are not taken for an API pod of which kubelet says that it is one', async () => {
    expect(await both.getPod({ ...staticWeb, configSource: 'api' })).toBeUndefined();
    expect(await both.getPod({ ...staticWeb, uid: UUID })).toBeUndefined();
  });

  it('are found while the API server is away; of other pods nobody can tell', async () => {
    await scene.server.stop();
    await eventually(() => expect(both.problem()).toMatch(/^apiServerUnavailable/));
    expect(await both.getPod(staticWeb)).toMatchObject({ configSource: 'file' });
    await expect(both.getPod({ namespace: 'team-a', name: 'new', uid: UUID })).rejects.toMatchObject({
      reason: 'apiServerUnavailable',
    });
  });

  it('that come later are told of, as those of the API server are', async () => {
    const heard: string[] = [];
    both.onPod(({ name }) => heard.push(name));
    await put('late.yaml', manifest('late'));
    scene.server.putPod(podObject('later'));
    await eventually(() => expect(heard.sort()).toEqual(['late-node-1', 'later']));
  });
});
