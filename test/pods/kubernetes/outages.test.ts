import { afterEach, describe, expect, it } from 'vitest';
import { podObject } from './objects.ts';
import { eventually, expectWatched, inOrder, lists, openScene, type Scene } from './scene.ts';

let scene: Scene;

afterEach(() => scene.close());

describe('an API server that goes away', () => {
  it('and comes back with its history: the pods stay known, the trouble is told, one list', async () => {
    scene = await openScene({ given: (server) => void server.putPod(podObject('a', { uid: 'uid-a' })) });
    await inOrder(scene);
    await scene.server.stop();
    await eventually(() =>
      expect(scene.source.problem()).toMatch(/^apiServerUnavailable: .*ECONNREFUSED.*since/),
    );
    expect(await scene.source.findPod('team-a', 'a')).toMatchObject({ uid: 'uid-a' });
    scene.server.putPod(podObject('b'));
    await scene.server.start('kept');
    await expectWatched(scene, 'a', 'b');
    expect(scene.source.problem()).toBeUndefined();
    expect(lists(scene.server)).toBe(2);
    expect(scene.synced).toEqual([1, 2]);
  });

  it('and comes back without: one list', async () => {
    scene = await openScene({ given: (server) => void server.putPod(podObject('a')) });
    await inOrder(scene);
    await scene.server.stop();
    scene.server.deletePod('team-a', 'a');
    scene.server.putPod(podObject('b'));
    await scene.server.start('lost');
    await expectWatched(scene, 'b');
    expect(lists(scene.server)).toBe(2);
  });

  it('five times in a row loses nothing', async () => {
    scene = await openScene();
    for (const [index, name] of ['a', 'b', 'c', 'd'].entries()) {
      await scene.server.stop();
      scene.server.putPod(podObject(name));
      await scene.server.start(index % 2 === 0 ? 'kept' : 'lost');
      await eventually(() => expect(scene.newPods).toHaveLength(index + 1));
    }
    await expectWatched(scene, 'a', 'b', 'c', 'd');
  });

  it('before it was ever there: the agent begins without, says so, and finds its pods later', async () => {
    scene = await openScene({ timings: { startMs: 100 }, given: (server) => server.stop() });
    await eventually(() => expect(scene.source.problem()).toMatch(/^apiServerUnavailable: .*ECONNREFUSED/));
    await expect(scene.source.getPod({ namespace: 'team-a', name: 'a', uid: 'uid-a' })).rejects.toMatchObject(
      { reason: 'apiServerUnavailable' },
    );
    scene.server.putPod(podObject('a', { uid: 'uid-a' }));
    await scene.server.start();
    await expectWatched(scene, 'a');
    expect(scene.source.problem()).toBeUndefined();
  });

  it.each([
    ['answers 503', { kind: 'status', code: 503 }],
    ['answers 500', { kind: 'status', code: 500 }],
    ['asks to come later', { kind: 'status', code: 429, retryAfterSeconds: 1 }],
    ['breaks the connection', { kind: 'drop' }],
    ['breaks the list off', { kind: 'cut', afterBytes: 200 }],
    ['sends no list', { kind: 'body', chunks: [Buffer.from('<html>a proxy</html>')] }],
  ] as const)('or %s: it is tried again until there are pods', async (_, does) => {
    scene = await openScene({
      timings: { startMs: 50 },
      given: (server) => {
        server.putPod(podObject('a'));
        server.fault({ on: { verb: 'list' }, does });
      },
    });
    await eventually(() => expect(lists(scene.server)).toBeGreaterThan(2));
    expect(scene.source.problem()).toMatch(/^apiServerUnavailable: /);
    expect(new Set(scene.problems).size).toBe(scene.problems.length);
    scene.server.clearFaults();
    await expectWatched(scene, 'a');
    expect(scene.source.problem()).toBeUndefined();
  });

  it('or hangs: the list is given up and tried again', async () => {
    scene = await openScene({
      given: (server) => {
        server.putPod(podObject('a'));
        server.fault({ on: { verb: 'list' }, times: 1, does: { kind: 'hang' } });
      },
    });
    await expectWatched(scene, 'a');
    expect(scene.problems[0]).toMatch(/within 1000 ms/);
  });
});

describe('an API server that refuses', () => {
  it('the list: says what to grant, does not end the agent, and goes on once it is granted', async () => {
    scene = await openScene({
      user: 'system:serviceaccount:pullwarden:agent',
      timings: { startMs: 50 },
      given: (server) => void server.putPod(podObject('a')),
    });
    await eventually(() =>
      expect(scene.source.problem()).toMatch(
        /403: pods is forbidden: User "system:serviceaccount:pullwarden:agent" cannot list .* needs get, list and watch on pods/,
      ),
    );
    scene.server.grant('system:serviceaccount:pullwarden:agent', {
      verbs: ['get', 'list', 'watch'],
      resources: ['pods'],
    });
    await expectWatched(scene, 'a');
    expect(scene.source.problem()).toBeUndefined();
  });

  it('a node that asks for the pods of another', async () => {
    scene = await openScene({ user: 'system:node:other', timings: { startMs: 50 } });
    await eventually(() =>
      expect(scene.source.problem()).toMatch(/a node identity must be that of --node-name/),
    );
  });

  it('and then is away: the trouble is as old as it is, whatever it is now', async () => {
    scene = await openScene({
      timings: { startMs: 50 },
      given: (server) => server.refuse('system:node:lab'),
    });
    await eventually(() => expect(scene.source.problem()).toMatch(/401/));
    const since = scene.source.problem()?.match(/since .*/)?.[0];
    await scene.server.stop();
    await eventually(() => expect(scene.source.problem()).toContain('ECONNREFUSED'));
    expect(scene.source.problem()).toContain(since);
  });

  it('who it is, for a while', async () => {
    scene = await openScene({
      timings: { startMs: 50 },
      given: (server) => {
        server.putPod(podObject('a'));
        server.refuse('system:node:lab');
      },
    });
    await eventually(() => expect(scene.source.problem()).toMatch(/401: Unauthorized/));
    scene.server.accept('system:node:lab');
    await expectWatched(scene, 'a');
  });
});
