import { afterEach, describe, expect, it } from 'vitest';
import { inPieces, recorded } from './objects.ts';
import { eventually, openScene, type Scene } from './scene.ts';

let scene: Scene;

afterEach(() => scene.close());

const uids = { a1: 'fd2f403d-f5f7-43bd-a2ba-355eed4407ef', b1: '63515a31-e892-457f-8c19-638cd953b71f' };

/**
 * What a kube-apiserver 1.36.2 sent, in HTTP chunks of a size that no server has; json-pieces.test.ts goes
 * down to bytes.
 */
describe.each([61, 1_021, 70_000])('the recorded watch in chunks of %i bytes', (size) => {
  it('leaves the pods that were there at its end, and the one that was deleted for a while', async () => {
    scene = await openScene({
      given: (server) => {
        const chunks = inPieces(recorded('watch-pods.jsonl'), size);
        server.fault({ on: { verb: 'watch' }, times: 1, does: { kind: 'body', chunks } });
      },
    });
    const { server, source } = scene;
    await eventually(() => expect(server.watches().map((watch) => watch.resourceVersion)).toEqual(['365']));
    expect(scene.newPods.map(({ name }) => name)).toEqual(['a1', 'b1', 'bnever', 'cwrong']);
    expect(await source.getPod({ namespace: 'team-a', name: 'a1', uid: uids.a1 })).toEqual({
      namespace: 'team-a',
      name: 'a1',
      uid: uids.a1,
      serviceAccountName: 'default',
      configSource: 'api',
      imagePullSecrets: ['alice'],
      containers: [
        {
          name: 'app',
          image: '127.0.0.1:5000/team-a/app:1',
          imagePullPolicy: 'IfNotPresent',
          kind: 'container',
          imageVolumes: [],
        },
      ],
    });
    expect(await source.getPod({ namespace: 'team-b', name: 'b1', uid: uids.b1 })).toMatchObject({
      imagePullSecrets: [],
    });
    expect(server.requestsFor('get', 'pods')).toEqual([]);
    expect(await source.findPod('team-b', 'b1')).toBeUndefined();
    expect(source.passedOver()).toBe(0);
  });
});

describe('the recorded list', () => {
  it('and a pod of many kinds of container', async () => {
    scene = await openScene({
      given: (server) => {
        const list = JSON.parse(recorded('list-pods.json').toString());
        list.items.push(JSON.parse(recorded('pod-many-kinds.json').toString()));
        const chunks = inPieces(Buffer.from(JSON.stringify(list, null, 2)), 997);
        server.fault({ on: { verb: 'list' }, times: 1, does: { kind: 'body', chunks } });
      },
    });
    await eventually(() => expect(scene.synced).toEqual([4]));
    expect(scene.server.watches()[0]?.resourceVersion).toBe('345');
    const many = await scene.source.findPod('team-a', 'many');
    const shown = many?.containers.map(({ kind, name, imageVolumes }) => ({
      kind,
      name,
      volumes: imageVolumes.map((volume) => volume.image),
    }));
    expect(shown).toEqual([
      { kind: 'initContainer', name: 'setup', volumes: [] },
      { kind: 'container', name: 'app', volumes: ['127.0.0.1:5000/team-a/app:1'] },
      { kind: 'ephemeralContainer', name: 'debugger-nq26c', volumes: [] },
    ]);
  });

  it('of a version that the watch finds too old, as recorded, is asked for again', async () => {
    scene = await openScene({
      given: (server) => {
        const chunks = [recorded('watch-too-old.jsonl')];
        server.fault({ on: { verb: 'watch' }, times: 1, does: { kind: 'body', chunks } });
      },
    });
    await eventually(() => expect(scene.server.requestsFor('list', 'pods')).toHaveLength(2));
    await eventually(() => expect(scene.server.watches()).toHaveLength(1));
    expect(scene.problems).toEqual([]);
  });
});
