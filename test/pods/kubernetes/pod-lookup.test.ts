import { afterEach, describe, expect, it } from 'vitest';
import { podObject, recorded } from './objects.ts';
import { eventually, inOrder, openScene, type Scene, theWatch } from './scene.ts';

let scene: Scene;

afterEach(() => scene.close());

const ref = (name: string, containerName?: string) => ({
  namespace: 'team-a',
  name,
  uid: `uid-${name}`,
  ...(containerName !== undefined && { containerName }),
});

const gets = (): number => scene.server.requestsFor('get', 'pods').length;

async function open(...pods: string[]): Promise<void> {
  scene = await openScene({
    given: (server) => {
      for (const name of pods) server.putPod(podObject(name, { uid: `uid-${name}` }));
    },
  });
  await inOrder(scene);
}

describe('the pod of a container', () => {
  it('that is known is not asked for', async () => {
    await open('web');
    expect(await scene.source.getPod(ref('web'))).toMatchObject({ name: 'web', uid: 'uid-web' });
    expect(gets()).toBe(0);
  });

  it('that the watch brings a moment later is waited for, not asked for', async () => {
    await open();
    const asked = scene.source.getPod(ref('web'));
    scene.server.putPod(podObject('web', { uid: 'uid-web' }));
    expect(await asked).toMatchObject({ uid: 'uid-web' });
    expect(gets()).toBe(0);
  });

  it('that the watch does not bring is asked for by name, once for all who ask, and remembered', async () => {
    await open();
    (await theWatch(scene.server)).silence();
    scene.server.putPod(podObject('web', { uid: 'uid-web' }));
    const found = await Promise.all([scene.source.getPod(ref('web')), scene.source.getPod(ref('web'))]);
    expect(found.map((pod) => pod?.uid)).toEqual(['uid-web', 'uid-web']);
    expect(await scene.source.getPod(ref('web'))).toMatchObject({ uid: 'uid-web' });
    expect(gets()).toBe(1);
  });

  it('that there is not', async () => {
    await open();
    expect(await scene.source.getPod(ref('web'))).toBeUndefined();
    expect(scene.server.requestsFor('get', 'pods').map(({ code }) => code)).toEqual([403]);
  });

  it('that there is not, told to who may read all pods', async () => {
    const user = 'system:serviceaccount:pullwarden:agent';
    scene = await openScene({
      user,
      given: (server) => server.grant(user, { verbs: ['get', 'list', 'watch'], resources: ['pods'] }),
    });
    await inOrder(scene);
    expect(await scene.source.getPod(ref('web'))).toBeUndefined();
    expect(scene.server.requestsFor('get', 'pods').map(({ code }) => code)).toEqual([404]);
  });

  it('that has been deleted is still found for a while, but not by its name', async () => {
    await open('web');
    scene.server.deletePod('team-a', 'web');
    await eventually(async () => expect(await scene.source.findPod('team-a', 'web')).toBeUndefined());
    expect(await scene.source.getPod(ref('web'))).toMatchObject({ uid: 'uid-web' });
  });

  it('that has been deleted is forgotten in the end', async () => {
    scene = await openScene({
      timings: { departedMs: 100 },
      given: (server) => void server.putPod(podObject('web', { uid: 'uid-web' })),
    });
    await inOrder(scene);
    scene.server.deletePod('team-a', 'web');
    await eventually(async () => expect(await scene.source.getPod(ref('web'))).toBeUndefined());
  });

  it('that was replaced under the same name is the one with the uid that was asked for', async () => {
    await open('web');
    scene.server.putPod(podObject('web', { uid: 'uid-new', image: 'reg.example.com/app:2' }));
    await eventually(() => expect(scene.newPods.map(({ uid }) => uid)).toEqual(['uid-new']));
    const old = await scene.source.getPod(ref('web'));
    expect(old).toMatchObject({ uid: 'uid-web', containers: [{ image: 'reg.example.com/app:1' }] });
    const next = await scene.source.getPod({ ...ref('web'), uid: 'uid-new' });
    expect(next).toMatchObject({ uid: 'uid-new', containers: [{ image: 'reg.example.com/app:2' }] });
    expect(await scene.source.findPod('team-a', 'web')).toMatchObject({ uid: 'uid-new' });
  });

  it('of an earlier pod of that name, which nobody remembers, is not the one there is', async () => {
    await open('web');
    expect(await scene.source.getPod({ ...ref('web'), uid: 'uid-long-gone' })).toBeUndefined();
  });

  it('is not asked for by a name that could not be one', async () => {
    await open();
    for (const name of ['../../secrets/x', 'a/b', '', 'A', 'a?watch=1']) {
      expect(await scene.source.getPod(ref(name))).toBeUndefined();
      expect(await scene.source.findPod('team-a', name)).toBeUndefined();
    }
    expect(gets()).toBe(0);
  });

  it('cannot be told while the API server is away, unless it is known', async () => {
    await open('web');
    await scene.server.stop();
    await eventually(() => expect(scene.source.problem()).toBeDefined());
    expect(await scene.source.getPod(ref('web'))).toMatchObject({ uid: 'uid-web' });
    await expect(scene.source.getPod(ref('other'))).rejects.toMatchObject({
      name: 'PodSourceError',
      reason: 'apiServerUnavailable',
    });
  });

  it('that the Node authorizer knows nothing of is not taken for none before the pods are watched', async () => {
    scene = await openScene({
      timings: { startMs: 50 },
      given: (server) => void server.fault({ on: { verb: 'list' }, does: { kind: 'status', code: 500 } }),
    });
    await expect(scene.source.getPod(ref('web'))).rejects.toMatchObject({ reason: 'apiServerUnavailable' });
    expect(scene.server.requestsFor('get', 'pods').map(({ code }) => code)).toEqual([403]);
  });

  it('that the API server does not know while the watch is broken is not taken for none', async () => {
    const user = 'system:serviceaccount:pullwarden:agent';
    scene = await openScene({
      user,
      given: (server) => server.grant(user, { verbs: ['get', 'list', 'watch'], resources: ['pods'] }),
    });
    await inOrder(scene);
    scene.server.fault({ on: { verb: 'watch' }, does: { kind: 'status', code: 500 } });
    (await theWatch(scene.server)).cut();
    await eventually(() => expect(scene.source.problem()).toBeDefined());
    await expect(scene.source.getPod(ref('web'))).rejects.toMatchObject({ reason: 'apiServerUnavailable' });
    await expect(scene.source.findPod('team-a', 'web')).rejects.toMatchObject({
      reason: 'apiServerUnavailable',
    });
    expect(scene.server.requestsFor('get', 'pods').map(({ code }) => code)).toEqual([404, 404]);

    // One that it does know is good enough, watch or no watch.
    scene.server.putPod(podObject('web', { uid: 'uid-web' }));
    expect(await scene.source.getPod(ref('web'))).toMatchObject({ uid: 'uid-web' });

    scene.server.clearFaults();
    await inOrder(scene);
    expect(await scene.source.getPod(ref('gone'))).toBeUndefined();
  });

  it('of another uid than that of the pod of this name is none, to a live watch only', async () => {
    await open('web');
    expect(await scene.source.getPod({ ...ref('web'), uid: 'uid-other' })).toBeUndefined();
    scene.server.fault({ on: { verb: 'watch' }, does: { kind: 'status', code: 500 } });
    (await theWatch(scene.server)).cut();
    await eventually(() => expect(scene.source.problem()).toBeDefined());
    await expect(scene.source.getPod({ ...ref('web'), uid: 'uid-other' })).rejects.toMatchObject({
      reason: 'apiServerUnavailable',
    });
  });

  it('that is refused to a ServiceAccount says what to grant', async () => {
    scene = await openScene({ user: 'system:serviceaccount:pullwarden:agent', timings: { startMs: 50 } });
    await expect(scene.source.getPod(ref('web'))).rejects.toMatchObject({
      reason: 'apiServerUnavailable',
      message: expect.stringContaining('needs get, list and watch on pods'),
    });
  });
});

describe('an ephemeral container', () => {
  it('that is added to a pod that runs is waited for', async () => {
    await open('web');
    const asked = scene.source.getPod(ref('web', 'debugger-1'));
    scene.server.putPod(podObject('web', { uid: 'uid-web', ephemeral: ['debugger-1'] }));
    expect((await asked)?.containers.map(({ name, kind }) => `${kind} ${name}`)).toEqual([
      'container app',
      'ephemeralContainer debugger-1',
    ]);
    expect(gets()).toBe(0);
  });

  it('that the watch does not bring is found by asking for the pod', async () => {
    await open('web');
    (await theWatch(scene.server)).silence();
    scene.server.putPod(podObject('web', { uid: 'uid-web', ephemeral: ['debugger-1'] }));
    const pod = await scene.source.getPod(ref('web', 'debugger-1'));
    expect(pod?.containers.map(({ name }) => name)).toContain('debugger-1');
    expect(gets()).toBe(1);
  });

  it('that the pod does not have leaves the pod without it', async () => {
    await open('web');
    const pod = await scene.source.getPod(ref('web', 'no-such'));
    expect(pod?.containers.map(({ name }) => name)).toEqual(['app']);
  });
});

describe('a mirror pod', () => {
  it('is found by the uid of its static pod, which the labels of its containers carry', async () => {
    const mirror = JSON.parse(recorded('pod-mirror.json').toString());
    scene = await openScene({ given: (server) => void server.putPod(mirror) });
    await inOrder(scene);
    const pod = { namespace: 'kube-system', name: 'static-web-lab' };
    const found = await scene.source.getPod({ ...pod, uid: 'bcfd6d5262f8a9d2cfd3c1cfb4fba896' });
    expect(found?.containers[0]?.image).toBe('127.0.0.1:5001/public/app:1');
    expect(await scene.source.getPod({ ...pod, uid: mirror.metadata.uid })).toBeUndefined();
  });
});
