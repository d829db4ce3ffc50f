import { afterEach, describe, expect, it } from 'vitest';
import { podObject } from './objects.ts';
import { eventually, expectWatched, inOrder, lists, openScene, type Scene, theWatch } from './scene.ts';

let scene: Scene;

afterEach(() => scene.close());

describe('a version that is too old', () => {
  it('as an ERROR event within the watch: one list, and what went in the meantime is gone', async () => {
    scene = await openScene({ given: (server) => void server.putPod(podObject('a')) });
    await inOrder(scene);
    const watch = await theWatch(scene.server);
    watch.bookmark();
    watch.silence();
    scene.server.deletePod('team-a', 'a');
    scene.server.putPod(podObject('b'));
    scene.server.forgetWatchHistory();
    watch.end();
    await eventually(() => expect(lists(scene.server)).toBe(2));
    await eventually(() => expect(scene.newPods.map(({ name }) => name)).toEqual(['b']));
    await expectWatched(scene, 'b');
    expect(lists(scene.server)).toBe(2);
    expect(scene.problems).toEqual([]);
  });

  it('as an ERROR event in a watch that has been open for long: the list names no version', async () => {
    scene = await openScene();
    const watch = await theWatch(scene.server);
    scene.server.setResourceVersion(4_999);
    scene.server.putPod(podObject('a'));
    watch.expire();
    await eventually(() => expect(lists(scene.server)).toBe(2));
    const [, again] = scene.server.requestsFor('list', 'pods');
    expect([...(again?.query.keys() ?? [])]).toEqual(['fieldSelector', 'limit']);
    scene.server.putPod(podObject('b'));
    await expectWatched(scene, 'a', 'b');
  });

  it('as a status in place of the watch', async () => {
    scene = await openScene({
      given: (server) =>
        void server.fault({ on: { verb: 'watch' }, times: 1, does: { kind: 'status', code: 410 } }),
    });
    await eventually(() => expect(lists(scene.server)).toBe(2));
    scene.server.putPod(podObject('a'));
    await expectWatched(scene, 'a');
    expect(scene.problems).toEqual([]);
  });

  it('or that the server cannot read at all: listed again', async () => {
    scene = await openScene({
      given: (server) =>
        void server.fault({ on: { verb: 'watch' }, times: 1, does: { kind: 'status', code: 400 } }),
    });
    await eventually(() => expect(lists(scene.server)).toBe(2));
    scene.server.putPod(podObject('a'));
    await expectWatched(scene, 'a');
  });

  it('again and again is a failure: told, and listed with pauses', async () => {
    scene = await openScene({
      timings: { retry: { initialMs: 100, maxMs: 60_000 } },
      given: (server) => void server.fault({ on: { verb: 'watch' }, does: { kind: 'status', code: 410 } }),
    });
    await eventually(() => expect(scene.source.problem()).toMatch(/^apiServerUnavailable: .*410/));
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(lists(scene.server)).toBeLessThanOrEqual(6);
  });
});

describe('pages', () => {
  const many = Array.from({ length: 1_001 }, (_, index) => `p${index}`);

  async function relisted(): Promise<void> {
    scene = await openScene({
      given: (server) => {
        for (const uid of many) server.putPod(podObject(uid, { uid }));
      },
    });
    await inOrder(scene);
    expect(scene.synced).toEqual([1_001]);
  }

  it('of a list are put together: the list after an expired version comes from etcd in three', async () => {
    await relisted();
    (await theWatch(scene.server)).expire();
    await eventually(() => expect(lists(scene.server)).toBe(4));
    const [, first, second, third] = scene.server.requestsFor('list', 'pods');
    expect(first?.query.has('resourceVersion')).toBe(false);
    expect([second?.query.has('continue'), third?.query.has('continue')]).toEqual([true, true]);
    expect(second?.query.has('resourceVersion')).toBe(false);
    await inOrder(scene);
    expect(scene.synced).toEqual([1_001]);
    expect(scene.changes()).toBe(1);
  });

  it('whose token expires make the list begin anew, from etcd, and nothing is taken for gone meanwhile', async () => {
    await relisted();
    scene.server.fault({ on: { verb: 'list' }, times: 2, does: { kind: 'delay', ms: 100 } });
    (await theWatch(scene.server)).expire();
    await eventually(() => expect(lists(scene.server)).toBe(3));
    scene.server.putPod(podObject('late', { uid: 'late' }));
    scene.server.compact();
    await eventually(() => expect(scene.newPods.map(({ name }) => name)).toEqual(['late']));
    expect(lists(scene.server)).toBe(6);
    expect(scene.server.requestsFor('list', 'pods')[3]?.query.has('resourceVersion')).toBe(false);
    expect(await scene.source.findPod('team-a', 'p1000')).toBeDefined();
    expect(scene.changes()).toBe(2);
  });
});

describe('a connection on which nothing comes', () => {
  it('is given up for a list and another watch', async () => {
    scene = await openScene({
      timings: { silenceMs: 200 },
      bookmarkMs: 50,
      given: (server) => void server.fault({ on: { verb: 'watch' }, times: 1, does: { kind: 'silent' } }),
    });
    scene.server.putPod(podObject('a'));
    await eventually(() => expect(scene.newPods).toHaveLength(1));
    await eventually(() => expect(scene.server.requestsFor('watch', 'pods').length).toBeGreaterThan(1));
    await inOrder(scene);
    expect(scene.server.watches()).toHaveLength(1);
  });

  it('stays as long as bookmarks come', async () => {
    scene = await openScene({ timings: { silenceMs: 150 }, bookmarkMs: 30 });
    await theWatch(scene.server);
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(scene.server.requestsFor('watch', 'pods')).toHaveLength(1);
  });

  it('makes it list again: a server restored from a backup is silent to a version of its future', async () => {
    scene = await openScene({ timings: { silenceMs: 100 }, resourceVersion: 90_000 });
    await theWatch(scene.server);
    scene.server.setResourceVersion(700);
    scene.server.putPod(podObject('a'));
    await eventually(() => expect(scene.newPods.map(({ name }) => name)).toEqual(['a']));
    const [, inFuture, fromEtcd] = scene.server.requestsFor('list', 'pods');
    expect(inFuture?.code).toBe(504);
    expect(Object.fromEntries(inFuture?.query ?? [])).toMatchObject({
      resourceVersion: '90000',
      resourceVersionMatch: 'NotOlderThan',
    });
    expect(fromEtcd?.query.has('resourceVersion')).toBe(false);
    expect(lists(scene.server)).toBe(3);
    await expectWatched(scene, 'a');
  });
});
