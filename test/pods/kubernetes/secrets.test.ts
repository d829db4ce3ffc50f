import { inspect } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { podObject, secretObject } from './objects.ts';
import { eventually, inOrder, openScene, type Scene } from './scene.ts';

let scene: Scene;

afterEach(() => scene.close());

const reads = (): number => scene.server.requestsFor('get', 'secrets').length;
const fresh = { fresh: true };

async function open(timings = {}): Promise<void> {
  scene = await openScene({
    timings,
    given: (server) => {
      server.putSecret(secretObject('alice', 'one'));
      server.putPod(podObject('web', { secrets: ['alice'] }));
    },
  });
  await inOrder(scene);
}

async function password(read?: { fresh: boolean }): Promise<string | undefined> {
  const secret = await scene.source.getSecret('team-a', 'alice', read);
  const config = secret?.data.get('.dockerconfigjson')?.toString();
  return config === undefined ? undefined : JSON.parse(config).auths['reg.example.com'].password;
}

describe('a secret', () => {
  it('is read by nobody until it is asked for, and then by its name alone', async () => {
    await open();
    expect(reads()).toBe(0);
    expect(await password()).toBe('one');
    expect(scene.server.requests().filter(({ resource }) => resource === 'secrets')).toEqual([
      expect.objectContaining({ verb: 'get', namespace: 'team-a', name: 'alice', code: 200 }),
    ]);
  });

  it('is as the API server has it: uid, type, content', async () => {
    await open();
    expect(await scene.source.getSecret('team-a', 'alice')).toMatchObject({
      namespace: 'team-a',
      name: 'alice',
      uid: expect.stringMatching(/^[0-9a-f-]{36}$/),
      type: 'kubernetes.io/dockerconfigjson',
    });
  });

  it('is held: what was read a moment ago is not read again', async () => {
    await open();
    await password();
    scene.server.putSecret(secretObject('alice', 'two'));
    expect(await password()).toBe('one');
    expect(reads()).toBe(1);
  });

  it('that must be certain is read again, and whoever waits is told that it changed', async () => {
    await open();
    await password();
    scene.server.putSecret(secretObject('alice', 'two'));
    const before = scene.changes();
    expect(await password(fresh)).toBe('two');
    expect(scene.changes()).toBe(before + 1);
    expect(await password()).toBe('two');
    expect(reads()).toBe(2);
  });

  it('that was read again and is the same is no change, though its resourceVersion is another', async () => {
    await open();
    await password();
    scene.server.putSecret({ ...secretObject('alice', 'one'), immutable: false });
    const before = scene.changes();
    await password(fresh);
    expect(scene.changes()).toBe(before);
  });

  it('is read again once it has been held for long', async () => {
    await open({ secretMs: 50 });
    await password();
    scene.server.putSecret(secretObject('alice', 'two'));
    await eventually(async () => expect(await password()).toBe('two'));
  });

  it('asked for by many at once is read once', async () => {
    await open();
    const passwords = await Promise.all([password(), password(), password()]);
    expect(passwords).toEqual(['one', 'one', 'one']);
    expect(reads()).toBe(1);
  });

  it('asked for afresh does not take the answer of a question that was sent before', async () => {
    await open();
    scene.server.fault({ on: { resource: 'secrets' }, times: 1, does: { kind: 'delay', ms: 80 } });
    const early = password();
    await eventually(() => expect(reads()).toBe(1));
    const [one, another] = [password(fresh), password(fresh)];
    await early;
    scene.server.putSecret(secretObject('alice', 'two'));
    expect(await Promise.all([one, another])).toEqual(['two', 'two']);
    expect(reads()).toBe(2);
  });

  it('that does not exist is undefined, and asked for again after a moment: it may be made any time', async () => {
    await open({ missingSecretMs: 100 });
    scene.server.deleteSecret('team-a', 'alice');
    expect(await password()).toBeUndefined();
    scene.server.putSecret(secretObject('alice', 'one'));
    await eventually(async () => expect(await password()).toBe('one'));
  });

  it('that did not exist a moment ago is read by who asks afresh, and whoever waits is told', async () => {
    await open({ missingSecretMs: 60_000 });
    scene.server.deleteSecret('team-a', 'alice');
    expect(await password()).toBeUndefined();
    scene.server.putSecret(secretObject('alice', 'one'));
    expect(await password()).toBeUndefined();
    const before = scene.changes();
    expect(await password(fresh)).toBe('one');
    expect(scene.changes()).toBe(before + 1);
    expect(await password()).toBe('one');
  });

  it('that was deleted is undefined once it is read again', async () => {
    await open();
    await password();
    scene.server.deleteSecret('team-a', 'alice');
    const before = scene.changes();
    expect(await password(fresh)).toBeUndefined();
    expect(scene.changes()).toBe(before + 1);
    expect(await password()).toBeUndefined();
  });

  it('is not asked for by a name that could not be one', async () => {
    await open();
    for (const name of ['', '..', 'a/../../nodes', 'UPPER', 'x'.repeat(300)]) {
      expect(await scene.source.getSecret('team-a', name)).toBeUndefined();
    }
    expect(await scene.source.getSecret('..', 'alice')).toBeUndefined();
    expect(reads()).toBe(0);
  });

  it('whose data is not base64 is unreadable; the error does not repeat it', async () => {
    await open();
    scene.server.putSecret({ ...secretObject('alice', ''), data: { '.dockerconfigjson': 'hunter2!' } });
    const error = await password().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'PodSourceError', reason: 'secretUnreadable' });
    expect(String(error)).toContain('secret team-a/alice: ');
    expect(inspect(error, { depth: 9 })).not.toContain('hunter2');
  });
});

describe('a secret that is refused', () => {
  it('by the Node authorizer, because no pod of the node names it, says so', async () => {
    await open();
    scene.server.putSecret(secretObject('bob', 'one', 'team-c'));
    await expect(scene.source.getSecret('team-c', 'bob')).rejects.toMatchObject({
      name: 'PodSourceError',
      reason: 'secretUnreadable',
      message:
        'secret team-c/bob: User "system:node:lab" may not read it: the Node authorizer lets it read only secrets that a pod of this node names',
    });
  });

  it('by RBAC says which verb on what and where to grant to whom', async () => {
    const user = 'system:serviceaccount:pullwarden:agent';
    scene = await openScene({
      user,
      given: (server) => {
        server.putSecret(secretObject('alice', 'one'));
        server.putSecret(secretObject('bob', 'one', 'team-b'));
        server.grant(user, { verbs: ['get', 'list', 'watch'], resources: ['pods'] });
        server.grant(user, { verbs: ['get'], resources: ['secrets'], namespaces: ['team-a'] });
      },
    });
    expect(await password()).toBe('one');
    await expect(scene.source.getSecret('team-b', 'bob')).rejects.toMatchObject({
      reason: 'secretUnreadable',
      message: `secret team-b/bob: User "${user}" may not read it: grant it the verb get on secrets in namespace team-b`,
    });
    expect(reads()).toBe(2);
  });

  it('by a Node authorizer that has not heard of the pod yet is asked for again, and read', async () => {
    await open({ authorizerLagMs: 60 });
    scene.server.setAuthorizerLag(100);
    scene.server.putSecret(secretObject('carol', 'one'));
    scene.server.putPod(podObject('new', { secrets: ['carol'] }));
    expect(await scene.source.getSecret('team-a', 'carol')).toMatchObject({ name: 'carol' });
    const codes = scene.server.requestsFor('get', 'secrets').map(({ code }) => code);
    expect(codes[0]).toBe(403);
    expect(codes.at(-1)).toBe(200);
    expect(codes.length).toBeLessThanOrEqual(4);
  });

  it('is not taken for one that is not there', async () => {
    await open();
    scene.server.fault({ on: { resource: 'secrets' }, does: { kind: 'status', code: 403 } });
    await expect(password()).rejects.toMatchObject({ reason: 'secretUnreadable' });
  });
});

describe('a secret that cannot be read now', () => {
  it.each([
    ['the API server is down', { kind: 'drop' }],
    ['it does not answer', { kind: 'hang' }],
    ['it answers 500', { kind: 'status', code: 500 }],
    ['it is overloaded', { kind: 'status', code: 429, retryAfterSeconds: 30 }],
    ['it breaks off', { kind: 'cut', afterBytes: 100 }],
    ['a proxy answers', { kind: 'body', chunks: [Buffer.from('<html>')] }],
    ['the answer has no end', { kind: 'body', chunks: [Buffer.alloc(17 * 1_048_576, 0x20)] }],
    ['who it is is refused', { kind: 'status', code: 401 }],
  ] as const)('because %s: apiServerUnavailable, and read again as soon as it can be', async (_, does) => {
    await open();
    const fault = scene.server.fault({ on: { resource: 'secrets' }, does });
    await expect(password()).rejects.toMatchObject({
      name: 'PodSourceError',
      reason: 'apiServerUnavailable',
      message: expect.stringMatching(/^secret team-a\/alice: /),
    });
    fault.clear();
    expect(await password()).toBe('one');
  });

  it('but was read before is still there for who need not be certain, and for nobody else', async () => {
    await open();
    await password();
    scene.server.fault({ on: { resource: 'secrets' }, does: { kind: 'status', code: 500 } });
    expect(await password()).toBe('one');
    await expect(password(fresh)).rejects.toMatchObject({ reason: 'apiServerUnavailable' });
  });
});
