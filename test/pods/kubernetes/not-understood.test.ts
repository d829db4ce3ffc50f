import { afterEach, describe, expect, it } from 'vitest';
import { podObject } from './objects.ts';
import { eventually, inOrder, openScene, type Scene, theWatch } from './scene.ts';

let scene: Scene;

afterEach(() => scene.close());

describe('what is not understood', () => {
  it('in a list is passed over, counted and told, and the others are there', async () => {
    scene = await openScene({
      given: (server) => {
        server.putPod(podObject('a'));
        server.putPod({ metadata: { name: 'b', namespace: 'team-a' }, spec: { containers: 'none' } });
        server.putPod(podObject('c'));
      },
    });
    await inOrder(scene);
    expect(scene.synced).toEqual([2]);
    expect(scene.source.passedOver()).toBe(1);
    expect(scene.problems).toEqual([expect.stringContaining('a pod is malformed: spec.containers')]);
  });

  it.each([
    ['no JSON', '{"type":"ADDED","obj'],
    ['no event', '{"type":"SOMETHING","object":{}}'],
    ['without a version', '{"type":"ADDED","object":{"metadata":{"name":"x"}}}'],
    ['null', 'null'],
    ['larger than any pod', `{"type":"ADDED","object":{"metadata":{"x":"${'x'.repeat(5 * 1_048_576)}"}}}`],
  ])('in a watch is passed over (%s), and the watch goes on', async (_, line) => {
    scene = await openScene();
    (await theWatch(scene.server)).send(`${line}\n`);
    scene.server.putPod(podObject('a'));
    await eventually(() => expect(scene.newPods).toHaveLength(1));
    expect(scene.source.passedOver()).toBe(1);
    expect(scene.server.requestsFor('watch', 'pods')).toHaveLength(1);
    expect(scene.source.problem()).toBeUndefined();
  });
});

describe('the same that is not understood, again and again,', () => {
  it('is told once and counted each time', async () => {
    scene = await openScene();
    const watch = await theWatch(scene.server);
    for (let times = 0; times < 3; times += 1) watch.send('no JSON\n');
    await eventually(() => expect(scene.source.passedOver()).toBe(3));
    expect(scene.problems).toHaveLength(1);
  });
});
