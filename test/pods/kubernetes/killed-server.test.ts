import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { podObject } from './objects.ts';
import { eventually, inOrder, openScene, type Scene } from './scene.ts';

let scene: Scene;

afterEach(() => scene.close());

const ROUNDS = 25;
const PATIENCE_MS = 120_000;
const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'];

/** Small whole numbers, the same every time (mulberry32), so that a round that failed can be run again. */
function numbersFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Creates, changes and deletes pods; returns the names of those there are. */
function changePods({ server }: Scene, below: (limit: number) => number, present: Set<string>): void {
  for (let changes = below(4); changes > 0; changes -= 1) {
    const name = NAMES[below(NAMES.length)] ?? 'a';
    if (present.delete(name)) server.deletePod('team-a', name);
    else {
      present.add(name);
      server.putPod(podObject(name));
    }
  }
}

/** What the source knows without asking for a pod by its name. */
async function known({ server, source }: Scene): Promise<string[]> {
  const found: string[] = [];
  for (const name of NAMES) {
    const asked = server.requestsFor('get', 'pods').length;
    const pod = await source.findPod('team-a', name).catch(() => undefined);
    if (pod && server.requestsFor('get', 'pods').length === asked) found.push(name);
  }
  return found;
}

describe.each([1, 2, 3])('an API server that is killed at any moment (%i)', (seed) => {
  it(
    'is listed and watched again as soon as it is back, whatever it has forgotten',
    async () => {
      const below = numbersFrom(seed);
      const present = new Set<string>();
      scene = await openScene({ timings: { silenceMs: 150, listSilenceMs: 500 }, bookmarkMs: 30 });
      await inOrder(scene);
      for (let round = 0; round < ROUNDS; round += 1) {
        changePods(scene, below, present);
        await sleep(below(12));
        await scene.server.stop();
        changePods(scene, below, present);
        const fate = below(5);
        if (fate === 0) scene.server.compact();
        if (fate === 1) scene.server.setResourceVersion(scene.server.resourceVersion() + 10_000);
        // Restored from a backup: fewer writes than the agent has seen.
        if (fate === 2) scene.server.setResourceVersion(Math.max(1, scene.server.resourceVersion() - 3));
        await sleep(below(12));
        await scene.server.start(below(4) === 0 ? 'kept' : 'lost');
        // Half the time it is killed again while the agent is still at it.
        if (below(2) === 0) continue;
        await eventually(async () =>
          expect(await known(scene), `round ${round}`).toEqual([...present].sort()),
        );
        await inOrder(scene);
      }
    },
    PATIENCE_MS,
  );
});
