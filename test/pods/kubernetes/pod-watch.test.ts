import { afterEach, describe, expect, it } from 'vitest';
import { podObject } from './objects.ts';
import { eventually, expectWatched, inOrder, lists, openScene, type Scene, theWatch } from './scene.ts';

let scene: Scene;

afterEach(() => scene.close());

describe('the pods of the node', () => {
  it('are listed once and then watched: created, changed and deleted ones come without another list', async () => {
    scene = await openScene({
      given: (server) => {
        server.putPod(podObject('a', { uid: 'uid-a' }));
        server.putPod(podObject('elsewhere', { nodeName: 'other' }));
      },
    });
    await inOrder(scene);
    expect(scene.synced).toEqual([1]);
    expect(scene.source.problem()).toBeUndefined();

    scene.server.putPod(podObject('b', { uid: 'uid-b' }));
    scene.server.putPod(podObject('not-ours', { nodeName: 'other' }));
    await eventually(() => expect(scene.newPods.map(({ name }) => name)).toEqual(['b']));
    const before = scene.changes();
    scene.server.putPod(podObject('b', { uid: 'uid-b', image: 'reg.example.com/app:2' }));
    await eventually(() => expect(scene.changes()).toBe(before + 1));
    expect((await scene.source.findPod('team-a', 'b'))?.containers[0]?.image).toBe('reg.example.com/app:2');
    scene.server.deletePod('team-a', 'a');
    await eventually(async () => expect(await scene.source.findPod('team-a', 'a')).toBeUndefined());
    expect(lists(scene.server)).toBe(1);
    expect(scene.server.requestsFor('watch', 'pods')).toHaveLength(1);
  });

  it('are known to be terminated from the moment they are told to, until their containers ended or they are gone', async () => {
    const until = '2026-06-01T12:00:30Z';
    const running = podObject('a', { uid: 'uid-a' });
    const metadata = { ...running.metadata, deletionTimestamp: until, deletionGracePeriodSeconds: 30 };
    const ofA = { namespace: 'team-a', name: 'a', untilMs: Date.parse(until), graceMs: 30_000 };
    scene = await openScene({
      given: (server) => {
        server.putPod(running);
        server.putPod(podObject('b'));
      },
    });
    await theWatch(scene.server);
    expect(scene.source.terminating()).toEqual([]);
    const before = scene.changes();

    scene.server.putPod({ ...running, metadata });
    await eventually(() => expect(scene.source.terminating()).toEqual([ofA]));
    scene.server.putPod({ ...running, metadata, status: { phase: 'Failed' } });
    await eventually(() => expect(scene.source.terminating()).toEqual([]));
    scene.server.putPod({ ...running, metadata });
    await eventually(() => expect(scene.source.terminating()).toEqual([ofA]));
    scene.server.deletePod('team-a', 'a');
    await eventually(() => expect(scene.source.terminating()).toEqual([]));
    // Nothing of this makes a difference to a verdict, and the pod can be judged to the end.
    expect(scene.changes()).toBe(before);
    expect(await scene.source.getPod({ namespace: 'team-a', name: 'a', uid: 'uid-a' })).toBeDefined();
  });

  it('are unknown before the first list, also those that are being terminated', async () => {
    scene = await openScene({ timings: { startMs: 20 }, given: (server) => server.stop() });
    expect(scene.source.terminating()).toBeUndefined();
    await scene.server.start();
    await eventually(() => expect(scene.source.terminating()).toEqual([]));
  });

  it('are asked for by field selector, from the memory of the server, with bookmarks and an end', async () => {
    scene = await openScene();
    await theWatch(scene.server);
    const [list] = scene.server.requestsFor('list', 'pods');
    expect(Object.fromEntries(list?.query ?? [])).toEqual({
      fieldSelector: 'spec.nodeName=lab',
      resourceVersion: '0',
      resourceVersionMatch: 'NotOlderThan',
    });
    const { timeoutSeconds, ...watched } = Object.fromEntries((await theWatch(scene.server)).query);
    expect(watched).toEqual({
      watch: 'true',
      fieldSelector: 'spec.nodeName=lab',
      resourceVersion: '300',
      allowWatchBookmarks: 'true',
    });
    expect(Number(timeoutSeconds)).toBeGreaterThanOrEqual(300);
    expect(Number(timeoutSeconds)).toBeLessThanOrEqual(600);
  });

  it('cause one change where nothing that a verdict needs is different', async () => {
    scene = await openScene({ given: (server) => void server.putPod(podObject('a', { uid: 'uid-a' })) });
    await theWatch(scene.server);
    const before = scene.changes();
    scene.server.putPod({ ...podObject('a', { uid: 'uid-a' }), status: { phase: 'Running' } });
    scene.server.putPod(podObject('b'));
    await eventually(() => expect(scene.newPods).toHaveLength(1));
    expect(scene.changes()).toBe(before + 1);
  });

  it('are 500, changed 1,000 times: still one list', async () => {
    const uids = Array.from({ length: 500 }, (_, index) => `uid-${index}`);
    scene = await openScene({
      given: (server) => {
        for (const uid of uids) server.putPod(podObject(uid, { uid }));
      },
    });
    await inOrder(scene);
    expect(scene.synced).toEqual([500]);
    const before = scene.changes();
    for (const image of ['reg.example.com/app:2', 'reg.example.com/app:3']) {
      for (const uid of uids) scene.server.putPod(podObject(uid, { uid, image }));
    }
    await eventually(async () => {
      const last = await scene.source.findPod('team-a', 'uid-499');
      expect(last?.containers[0]?.image).toBe('reg.example.com/app:3');
    });
    expect(scene.changes()).toBe(before + 1_000);
    expect(lists(scene.server)).toBe(1);
  });
});

describe('a watch that ends', () => {
  it('goes on from the last version that was seen: no list, and nothing in between is lost', async () => {
    scene = await openScene();
    scene.server.putPod(podObject('a'));
    await eventually(() => expect(scene.newPods).toHaveLength(1));
    const seen = scene.server.resourceVersion();
    (await theWatch(scene.server)).end();
    scene.server.putPod(podObject('b'));
    await eventually(() => expect(scene.server.requestsFor('watch', 'pods')).toHaveLength(2));
    expect((await theWatch(scene.server)).resourceVersion).toBe(String(seen));
    await expectWatched(scene, 'a', 'b');
    expect(lists(scene.server)).toBe(1);
  });

  it('goes on from the last bookmark, where everything before is no longer known', async () => {
    scene = await openScene();
    const watch = await theWatch(scene.server);
    scene.server.setResourceVersion(5_000);
    scene.server.forgetWatchHistory();
    watch.bookmark();
    watch.end();
    await eventually(async () => expect((await theWatch(scene.server)).resourceVersion).toBe('5000'));
    scene.server.putPod(podObject('a'));
    await expectWatched(scene, 'a');
    expect(lists(scene.server)).toBe(1);
    expect(scene.problems).toEqual([]);
  });

  it('by a broken connection in the middle of a line goes on after a list: the half line is no event', async () => {
    scene = await openScene({ given: (server) => void server.putPod(podObject('a')) });
    (await theWatch(scene.server)).cut('{"type":"DELETED","object":{"kind":"Pod","apiVersion":"v1","meta');
    await eventually(() => expect(scene.server.requestsFor('watch', 'pods')).toHaveLength(2));
    scene.server.putPod(podObject('b'));
    await expectWatched(scene, 'a', 'b');
    expect(lists(scene.server)).toBe(2);
    expect(scene.source.passedOver()).toBe(0);
  });

  const bookmark = Buffer.from('{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"301"}}}\n');

  it.each([
    ['without a word', [], /^apiServerUnavailable: the API server ended the watch at once/],
    ['after a word', [bookmark], /^$/],
  ])('at once, %s, again and again, is no busy loop', async (_, chunks, problem) => {
    scene = await openScene({
      timings: { retry: { initialMs: 100, maxMs: 100 } },
      given: (server) => void server.fault({ on: { verb: 'watch' }, does: { kind: 'body', chunks } }),
    });
    await eventually(() => expect(scene.server.requestsFor('watch', 'pods').length).toBeGreaterThan(3));
    expect(scene.source.problem() ?? '').toMatch(problem);
    const times = scene.server.requestsFor('watch', 'pods').map(({ at }) => at.getTime());
    for (const [index, time] of times.slice(1).entries()) {
      expect(time - (times[index] ?? 0)).toBeGreaterThanOrEqual(45);
    }
    scene.server.clearFaults();
    await eventually(() => expect(scene.source.problem()).toBeUndefined());
  });
});

describe('stop ends', () => {
  it('a start that waits for the first list', async () => {
    scene = await openScene({
      start: false,
      timings: { startMs: 3_600_000 },
      given: (server) => server.stop(),
    });
    const starting = scene.source.start();
    await eventually(() => expect(scene.problems).toHaveLength(1));
    await scene.source.stop();
    await starting;
  });

  it.each([
    ['while the list hangs', 'list'],
    ['while the watch is not answered', 'watch'],
  ] as const)('%s', async (_, verb) => {
    scene = await openScene({
      timings: { startMs: 50 },
      timeoutMs: 3_600_000,
      given: (server) => void server.fault({ on: { verb }, does: { kind: 'hang' } }),
    });
    await eventually(() => expect(scene.server.requestsFor(verb, 'pods')).toHaveLength(1));
    await scene.source.stop();
    expect(scene.server.requestsFor(verb, 'pods')).toHaveLength(1);
  });

  it('while it waits to try again, and in the middle of a watch', async () => {
    scene = await openScene({ timings: { startMs: 50, retry: { initialMs: 60_000, maxMs: 60_000 } } });
    await theWatch(scene.server);
    await scene.server.stop();
    await eventually(() => expect(scene.source.problem()).toBeDefined());
    await scene.source.stop();
    const asked = scene.server.requests().length;
    await scene.server.start();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(scene.server.requests()).toHaveLength(asked);
  });
});
