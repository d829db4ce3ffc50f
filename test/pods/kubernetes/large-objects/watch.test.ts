import { afterEach, describe, expect, it } from 'vitest';
import { podObject } from '../objects.ts';
import { eventually, openScene, type Scene } from '../scene.ts';

let scene: Scene;

afterEach(() => scene.close());

/** Some hundred KiB of a pod, so that it is read on another thread. */
const annotations = Object.fromEntries(Array.from({ length: 20_000 }, (_, n) => [`key-${n}`, '']));

const imageOf = async (name: string): Promise<string | undefined> =>
  (await scene.source.findPod('team-a', name))?.containers[0]?.image;

describe('a pod that takes long to read', { timeout: 60_000 }, () => {
  it('is there as it was last written, whatever came while it was read', async () => {
    scene = await openScene();
    scene.server.putPod(podObject('a', { image: 'reg.example/app:old', annotations }));
    scene.server.putPod(podObject('a', { image: 'reg.example/app:new' }));
    scene.server.putPod(podObject('b'));
    // The watch tells of b last: by then everything before it has been read.
    await eventually(() => expect(scene.newPods.map(({ name }) => name)).toContain('b'));
    expect(await imageOf('a')).toBe('reg.example/app:new');
  });

  it('is there after a list as well', async () => {
    const pod = podObject('a', { image: 'reg.example/app:1', annotations });
    scene = await openScene({ given: (server) => void server.putPod(pod) });
    await eventually(() => expect(scene.synced).toEqual([1]));
    expect(await imageOf('a')).toBe('reg.example/app:1');
    expect(scene.source.passedOver()).toBe(0);
  });
});
