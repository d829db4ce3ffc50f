import { describe, expect, it } from 'vitest';
import { keepTokens } from '../../../agent/credentials/providers/kept-tokens.ts';
import type {
  ServiceAccountToken,
  ServiceAccountTokens,
} from '../../../agent/credentials/providers/service-accounts.ts';
import { ServiceAccountError } from '../../../agent/errors.ts';
import {
  allThatIsSaid,
  answer,
  IMAGE,
  POD,
  prints,
  reasonsOf,
  SECRET,
  TOKEN_ATTRIBUTES,
  testNode,
} from '../test-node.ts';

/** In place of the API server: its two answers, as each test has them. */
function apiServer(answers: Partial<ServiceAccountTokens> = {}): ServiceAccountTokens {
  return {
    getServiceAccount: async () => ({
      uid: 'sa-uid',
      annotations: new Map([['example.com/role', 'puller']]),
    }),
    requestToken: async () => ({ token: SECRET, expirationMs: Date.now() + 3_600_000 }),
    ...answers,
  };
}

function nodeWith(serviceAccounts: ServiceAccountTokens, attributes: object = {}) {
  const node = testNode({ serviceAccounts });
  node.configure({ sa: { tokenAttributes: { ...TOKEN_ATTRIBUTES, ...attributes } } });
  node.install(
    'sa',
    `cat > "$FOLDER/request"\n${prints(answer({ 'reg.example.com': { username: 'u', password: 'p' } }))}`,
  );
  return node;
}

const fails =
  (reason: ServiceAccountError['reason'], message: string = reason) =>
  () =>
    Promise.reject(new ServiceAccountError(reason, message));

describe("a provider with a pod's service account", () => {
  it('is told its token and the annotations that it asks for, and what it answers is the account’s', async () => {
    const requests: object[] = [];
    const node = nodeWith(
      apiServer({
        async requestToken(request) {
          requests.push(request);
          return { token: SECRET, expirationMs: Date.now() + 3_600_000 };
        },
      }),
      { optionalServiceAccountAnnotationKeys: ['example.com/role', 'example.com/absent'] },
    );
    const { credentials } = await node.credentials.offerFor(IMAGE, POD);
    expect(credentials.map(({ source }) => source)).toEqual([
      { kind: 'serviceAccount', namespace: 'team-a', name: 'builder', uid: 'sa-uid', provider: 'sa' },
    ]);
    expect(JSON.parse(node.read('request'))).toMatchObject({
      image: IMAGE,
      serviceAccountToken: SECRET,
      serviceAccountAnnotations: { 'example.com/role': 'puller' },
    });
    expect(requests).toEqual([
      {
        namespace: 'team-a',
        serviceAccountName: 'builder',
        serviceAccountUid: 'sa-uid',
        podName: 'pod-1',
        podUid: 'pod-uid-1',
        audience: 'reg-audience',
      },
    ]);
  });

  it.each([
    ['a static pod, which has none', {}, { ...POD, serviceAccountName: '' }, 'noServiceAccount'],
    [
      'an account without a required annotation',
      { requiredServiceAccountAnnotationKeys: ['example.com/other'] },
      POD,
      'annotationMissing',
    ],
  ])('is passed over for %s', async (_, attributes, pod, why) => {
    const node = nodeWith(apiServer(), attributes);
    expect(await node.credentials.offerFor(IMAGE, pod)).toEqual({
      credentials: [],
      problems: [],
      passedOver: [{ provider: 'sa', why }],
    });
    expect(() => node.read('request')).toThrow('ENOENT');
  });

  it('is the node’s own for a static pod that it does not need an account for', async () => {
    const node = nodeWith(apiServer(), { requireServiceAccount: false });
    const { credentials } = await node.credentials.offerFor(IMAGE, { ...POD, serviceAccountName: '' });
    expect(credentials.map(({ source }) => source)).toEqual([{ kind: 'node', provider: 'sa' }]);
  });

  const NOT_AUTHORIZED =
    'serviceaccounts "builder" is forbidden: audience "reg-audience" not found in pod spec volume, system:node:n1 is not authorized to request tokens for this audience';
  it.each<[string, Partial<ServiceAccountTokens>, string]>([
    ['the account does not exist', { getServiceAccount: async () => undefined }, 'serviceAccountGone'],
    [
      'the account cannot be read',
      { getServiceAccount: fails('apiServerUnavailable') },
      'serviceAccountUnreadable',
    ],
    [
      'the API server is slow',
      { getServiceAccount: fails('apiServerUnavailable', 'no answer in time') },
      'serviceAccountUnreadable',
    ],
    [
      'the account was deleted before its token was made',
      { requestToken: fails('subjectGone') },
      'serviceAccountGone',
    ],
    ['another account has its name by then', { requestToken: fails('subjectGone') }, 'serviceAccountGone'],
    [
      'the audience is not allowed',
      { requestToken: fails('audienceForbidden', NOT_AUTHORIZED) },
      'audienceForbidden',
    ],
    ['tokens are not allowed', { requestToken: fails('tokenForbidden', 'RBAC: no') }, 'tokenForbidden'],
    [
      'the API server goes away in between',
      { requestToken: fails('apiServerUnavailable') },
      'tokenUnavailable',
    ],
    [
      'its annotations are too long to tell answers apart',
      { getServiceAccount: async () => ({ uid: 'u', annotations: new Map([['a', 'v'.repeat(70_000)]]) }) },
      'cacheKeyTooLong',
    ],
  ])('is not run where %s', async (_, answers, reason) => {
    const node = nodeWith(apiServer(answers), { optionalServiceAccountAnnotationKeys: ['a'] });
    const offer = await node.credentials.offerFor(IMAGE, POD);
    expect(reasonsOf(offer)).toEqual([reason]);
    expect(offer.credentials).toEqual([]);
    expect(() => node.read('request')).toThrow('ENOENT');
    expect(await allThatIsSaid(node, offer)).not.toContain(SECRET);
  });

  it('hands on which rule is missing where the audience is not allowed', async () => {
    const node = nodeWith(apiServer({ requestToken: fails('audienceForbidden', NOT_AUTHORIZED) }));
    const { problems } = await node.credentials.offerFor(IMAGE, POD);
    expect(problems[0]?.error.message).toContain(NOT_AUTHORIZED);
  });
});

describe('tokens that are kept', () => {
  const HOUR = 3_600_000;
  const request = {
    namespace: 'team-a',
    serviceAccountName: 'builder',
    serviceAccountUid: 'sa-uid',
    podName: 'pod-1',
    podUid: 'pod-uid-1',
    audience: 'reg-audience',
  };

  function kept(life = HOUR) {
    const clock = { steady: 0, wall: 1_000_000 };
    const made: object[] = [];
    let refusal: ServiceAccountError | undefined;
    const tokens = keepTokens(
      {
        getServiceAccount: async () => undefined,
        async requestToken(asked): Promise<ServiceAccountToken> {
          made.push(asked);
          if (refusal) throw refusal;
          return { token: `token-${made.length}`, expirationMs: clock.wall + life };
        },
      },
      { steady: () => clock.steady, wall: () => clock.wall },
    );
    return {
      made,
      get: async (more: object = {}) => (await tokens.requestToken({ ...request, ...more })).token,
      pass(ms: number) {
        clock.steady += ms;
        clock.wall += ms;
      },
      jump(ms: number) {
        clock.wall += ms;
      },
      refuse(error: ServiceAccountError | undefined) {
        refusal = error;
      },
    };
  }

  it('are good for 80 % of their life', async () => {
    const tokens = kept();
    expect(await tokens.get()).toBe('token-1');
    tokens.pass(0.8 * HOUR - 1);
    expect(await tokens.get()).toBe('token-1');
    tokens.pass(1);
    expect(await tokens.get()).toBe('token-2');
  });

  it('are made anew after a day, however long they live', async () => {
    const tokens = kept(365 * 24 * HOUR);
    await tokens.get();
    tokens.pass(24 * HOUR);
    expect(await tokens.get()).toBe('token-2');
  });

  it.each([
    { podUid: 'other' },
    { serviceAccountUid: 'other' },
    { audience: 'other' },
    { namespace: 'other' },
  ])('are not for %o', async (more) => {
    const tokens = kept();
    await tokens.get();
    expect(await tokens.get(more)).toBe('token-2');
  });

  it('are made once for all who ask at the same time', async () => {
    const tokens = kept();
    expect(await Promise.all([tokens.get(), tokens.get()])).toEqual(['token-1', 'token-1']);
    expect(tokens.made).toHaveLength(1);
  });

  it('go on to their end while the API server is away, and no longer', async () => {
    const tokens = kept();
    await tokens.get();
    tokens.refuse(new ServiceAccountError('apiServerUnavailable', 'away'));
    tokens.pass(0.9 * HOUR);
    expect(await tokens.get()).toBe('token-1');
    tokens.pass(0.1 * HOUR);
    await expect(tokens.get()).rejects.toMatchObject({ reason: 'apiServerUnavailable' });
  });

  it('end at once where the API server says no', async () => {
    const tokens = kept();
    await tokens.get();
    tokens.pass(0.9 * HOUR);
    tokens.refuse(new ServiceAccountError('tokenForbidden', 'no'));
    await expect(tokens.get()).rejects.toMatchObject({ reason: 'tokenForbidden' });
    tokens.refuse(new ServiceAccountError('apiServerUnavailable', 'away'));
    await expect(tokens.get()).rejects.toMatchObject({ reason: 'apiServerUnavailable' });
  });

  it('end where the clock jumps over their end, and are not prolonged where it jumps back', async () => {
    const tokens = kept();
    await tokens.get();
    tokens.jump(HOUR);
    expect(await tokens.get()).toBe('token-2');
    tokens.jump(-10 * HOUR);
    tokens.pass(0.8 * HOUR);
    expect(await tokens.get()).toBe('token-3');
  });

  it('are used once where the clock says that they have ended already', async () => {
    const tokens = kept(-1);
    expect([await tokens.get(), await tokens.get()]).toEqual(['token-1', 'token-2']);
  });
});
