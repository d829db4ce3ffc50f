import { inspect } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import type { TokenQuestion } from '../../../agent/pods/service-account-source.ts';
import type { KubeObject } from '../../cluster/api-server/objects.ts';
import { podObject } from './objects.ts';
import { inOrder, NODE_USER, openScene, type Scene } from './scene.ts';

let scene: Scene;

afterEach(() => scene.close());

const AGENT = 'system:serviceaccount:pullwarden:agent';
const AUDIENCE = 'registry.example.com';
const metadata = { name: 'builder', namespace: 'team-a', uid: 'uid-builder' };
const builder: KubeObject = { metadata: { ...metadata, annotations: { 'example.com/role': 'pull' } } };
const question: TokenQuestion = {
  namespace: 'team-a',
  serviceAccountName: 'builder',
  serviceAccountUid: 'uid-builder',
  podName: 'web',
  podUid: 'uid-web',
  audience: AUDIENCE,
};
const tokenVolume = {
  name: 'token',
  projected: { sources: [{ serviceAccountToken: { audience: AUDIENCE } }] },
};

/** A pod of the service account, which uses the audience or does not. */
function webPod(volumes: readonly object[]): KubeObject {
  const pod = podObject('web', { uid: 'uid-web' });
  return { ...pod, spec: { ...Object(pod.spec), serviceAccountName: 'builder', volumes } };
}

async function open({ user = NODE_USER, volumes = [tokenVolume] as readonly object[] } = {}): Promise<void> {
  scene = await openScene({
    user,
    given: (server) => {
      server.putServiceAccount(builder);
      server.putPod(webPod(volumes));
      server.grant(AGENT, { verbs: ['get', 'list', 'watch'], resources: ['pods'] });
    },
  });
  await inOrder(scene);
}

const account = (namespace = 'team-a', name = 'builder') =>
  scene.source.serviceAccounts.getServiceAccount(namespace, name);
const request = (wanted: Partial<TokenQuestion> = {}) =>
  scene.source.serviceAccounts.requestToken({ ...question, ...wanted });

describe('a service account', () => {
  it('is read live, with its uid and annotations', async () => {
    await open();
    expect(await account()).toEqual({ ...metadata, annotations: new Map([['example.com/role', 'pull']]) });
    scene.server.putServiceAccount({ metadata: { ...metadata, uid: 'uid-next' } });
    expect(await account()).toEqual({ ...metadata, uid: 'uid-next', annotations: new Map() });
    expect(scene.server.requestsFor('get', 'serviceaccounts')).toHaveLength(2);
  });

  it('that does not exist, or could not, is undefined', async () => {
    await open();
    scene.server.deleteServiceAccount('team-a', 'builder');
    expect(await account()).toBeUndefined();
    expect(await account('team-a', '../../secrets/x')).toBeUndefined();
  });

  it('that no pod of the node uses is refused to the node', async () => {
    await open();
    await expect(account('team-b', 'other')).rejects.toMatchObject({
      name: 'ServiceAccountError',
      reason: 'serviceAccountForbidden',
      message: expect.stringContaining('only those that a pod of this node uses'),
    });
  });

  it('that RBAC does not let the agent read says what to grant', async () => {
    await open({ user: AGENT });
    await expect(account()).rejects.toMatchObject({
      reason: 'serviceAccountForbidden',
      message: expect.stringContaining('grant it the verb get on serviceaccounts in namespace team-a'),
    });
  });

  it('cannot be read while the API server is away', async () => {
    await open();
    scene.server.fault({ on: { resource: 'serviceaccounts' }, does: { kind: 'status', code: 500 } });
    await expect(account()).rejects.toMatchObject({ reason: 'apiServerUnavailable' });
  });
});

describe('a token', () => {
  it('is asked for as kubelet does: bound to the pod, for one audience, without a lifetime', async () => {
    await open();
    const asking = performance.now();
    const given = await request();
    expect(scene.server.tokenRequests()).toEqual([
      {
        kind: 'TokenRequest',
        apiVersion: 'authentication.k8s.io/v1',
        metadata: { uid: 'uid-builder' },
        spec: {
          audiences: [AUDIENCE],
          expirationSeconds: null,
          boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'web', uid: 'uid-web' },
        },
      },
    ]);
    expect(given).toMatchObject({ token: expect.stringMatching(/^token-/), lifetimeMs: 3_600_000 });
    expect(given.requestedAtMs).toBeGreaterThanOrEqual(asking);
    expect(new Date(given.expirationMs).getTime()).toBe(given.expirationMs);
  });

  it('for an audience that the pod does not use needs a rule, which the message has', async () => {
    await open({ volumes: [] });
    await expect(request()).rejects.toMatchObject({
      name: 'ServiceAccountError',
      reason: 'audienceForbidden',
      message: expect.stringContaining(
        'a Role in namespace team-a, bound to the group system:nodes, needs the rule ' +
          '{"apiGroups":[""],"resources":["registry.example.com"],' +
          '"verbs":["request-serviceaccounts-token-audience"],"resourceNames":["builder"]}',
      ),
    });
    scene.server.grant(NODE_USER, {
      verbs: ['request-serviceaccounts-token-audience'],
      resources: [AUDIENCE],
    });
    expect((await request()).token).toMatch(/^token-/);
  });

  it.each([
    ['the service account is another by now', { serviceAccountUid: 'uid-before' }],
    ['the pod is another by now', { podUid: 'uid-before' }],
    ['the pod is gone', { podName: 'gone' }],
  ])('is not given where %s', async (_, wanted) => {
    await open();
    await expect(request(wanted)).rejects.toMatchObject({ reason: 'subjectGone' });
  });

  it('is not given for a service account that was deleted since it was read', async () => {
    await open();
    scene.server.deleteServiceAccount('team-a', 'builder');
    await expect(request()).rejects.toMatchObject({ reason: 'subjectGone' });
  });

  it('is not given for a pod that runs as another service account', async () => {
    await open({ user: AGENT });
    scene.server.grant(AGENT, { verbs: ['create'], resources: ['serviceaccounts/token'] });
    expect((await request()).token).toMatch(/^token-/);
    scene.server.putPod(podObject('other', { uid: 'uid-other' }));
    await expect(request({ podName: 'other', podUid: 'uid-other' })).rejects.toMatchObject({
      reason: 'tokenRefused',
    });
  });

  it('that RBAC does not let the agent ask for says what to grant', async () => {
    await open({ user: AGENT });
    await expect(request()).rejects.toMatchObject({
      reason: 'tokenForbidden',
      message: expect.stringContaining(
        'grant it the verb create on serviceaccounts/token in namespace team-a',
      ),
    });
  });

  it.each([
    ['of which half arrives', '{"status":{"token":"hunter2'],
    ['that comes without its end', '{"spec":{"expirationSeconds":3600},"status":{"token":"hunter2"}}'],
  ])('%s is not repeated in an error', async (_, text) => {
    await open();
    const does = { kind: 'body', chunks: [Buffer.from(text)] } as const;
    scene.server.fault({ on: { verb: 'create' }, does });
    const error = await request().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ reason: 'apiServerUnavailable' });
    expect(inspect(error, { depth: 9 })).not.toContain('hunter2');
  });
});
