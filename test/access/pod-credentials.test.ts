import { describe, expect, it } from 'vitest';
import { createPodCredentialsReader } from '../../agent/access/pod-credentials.ts';
import type { Pod, Secret } from '../../agent/pods/pod-source.ts';

const podWith = (...imagePullSecrets: string[]): Pod => ({
  namespace: 'team-a',
  name: 'web',
  uid: 'uid-web',
  serviceAccountName: 'default',
  imagePullSecrets,
  containers: [],
});

/** Counts how often the content of secrets is looked at, beyond its size. */
function cluster() {
  let reads = 0;
  const versions = new Map<string, string>();
  const contents = new Map<string, Buffer>();
  return {
    reads: () => reads,
    put(name: string, config: string, resourceVersion = '1') {
      contents.set(name, Buffer.from(config));
      versions.set(name, resourceVersion);
    },
    async getSecret(namespace: string, name: string): Promise<Secret | undefined> {
      const content = contents.get(name);
      if (content === undefined) return undefined;
      const data = new Map([['.dockerconfigjson', content]]);
      const get = data.get.bind(data);
      data.get = (key) => {
        reads += 1;
        return get(key);
      };
      const resourceVersion = versions.get(name) ?? '';
      return {
        namespace,
        name,
        uid: `uid-${name}`,
        resourceVersion,
        readAtMs: performance.now(),
        type: 'kubernetes.io/dockerconfigjson',
        data,
      };
    },
  };
}

const entries = (count: number, prefix = 'r'): string =>
  JSON.stringify({
    auths: Object.fromEntries(Array.from({ length: count }, (_, n) => [`${prefix}${n}`, {}])),
  });

describe('the secrets of one pod', () => {
  it('hold at most 2,000 entries together', { timeout: 60_000 }, async () => {
    const pods = cluster();
    pods.put('one', entries(1_000));
    pods.put('two', entries(1_000));
    pods.put('three', entries(1));
    const read = createPodCredentialsReader(pods, (hash) => hash);
    expect(await read(podWith('one', 'two'), 'r1/app')).toMatchObject({
      credentials: { length: 2 },
    });
    expect(await read(podWith('one', 'two', 'three'), 'r1/app')).toMatchObject({
      verdict: 'unverifiable',
      reason: 'secretMalformed',
      message: expect.stringContaining('team-a/three'),
    });
  });

  it('are read once per version, also by many at once', async () => {
    const pods = cluster();
    pods.put('one', entries(1));
    const read = createPodCredentialsReader(pods, (hash) => hash);
    await Promise.all([1, 2, 3].map(() => read(podWith('one'), 'r0/app')));
    await read(podWith('one'), 'other/app');
    expect(pods.reads()).toBe(1);
    pods.put('one', entries(2), '2');
    expect(await read(podWith('one'), 'r1/app')).toMatchObject({ credentials: { length: 1 } });
    expect(pods.reads()).toBe(2);
  });

  it('are read once per version as well when they are malformed', async () => {
    const pods = cluster();
    pods.put('bad', 'no docker config');
    const read = createPodCredentialsReader(pods, (hash) => hash);
    const first = await read(podWith('bad'), 'r0/app');
    expect(first).toMatchObject({ reason: 'secretMalformed' });
    expect(await read(podWith('bad'), 'r0/app')).toEqual(first);
    expect(pods.reads()).toBe(1);
    pods.put('bad', entries(1), '2');
    expect(await read(podWith('bad'), 'r0/app')).toMatchObject({ credentials: { length: 1 } });
  });

  it('count as cached where one of them was read before the question', async () => {
    const pods = cluster();
    for (const name of ['one', 'two']) pods.put(name, entries(1));
    const read = createPodCredentialsReader(pods, (hash) => hash);
    expect(await read(podWith('one', 'two'), 'r0/app')).toMatchObject({ isCached: false });
    const held = await pods.getSecret('team-a', 'two');
    const source = {
      getSecret: async (namespace: string, name: string) =>
        name === 'two' ? held : pods.getSecret(namespace, name),
    };
    const readHeld = createPodCredentialsReader(source, (hash) => hash);
    expect(await readHeld(podWith('one', 'two'), 'r0/app')).toMatchObject({ isCached: true });
    expect(await readHeld(podWith('one'), 'r0/app')).toMatchObject({ isCached: false });
    expect(await readHeld(podWith('gone'), 'r0/app')).toMatchObject({ isCached: false });
  });

  it('are forgotten when newer ones of others have taken the place, which entries take up and not only text', async () => {
    const pods = cluster();
    const read = createPodCredentialsReader(pods, (hash) => hash);
    for (let n = 0; n < 40; n += 1) {
      pods.put(`many-${n}`, entries(600));
      await read(podWith(`many-${n}`), 'r1/app');
    }
    expect(pods.reads()).toBe(40);
    await read(podWith('many-39'), 'r1/app');
    expect(pods.reads()).toBe(40);
    await read(podWith('many-0'), 'r1/app');
    expect(pods.reads()).toBe(41);
  });
});
