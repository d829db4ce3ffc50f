import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ApiClient, createApiClient, isObjectName } from '../../agent/kubernetes/api-client.ts';
import { createIdentity } from '../../agent/kubernetes/identity.ts';
import { type ApiServer, startApiServer } from '../cluster/api-server/api-server.ts';
import { podObject, secretObject } from '../pods/kubernetes/objects.ts';
import { NODE_USER } from '../pods/kubernetes/scene.ts';

let server: ApiServer;
let client: ApiClient;

beforeEach(async () => {
  server = await startApiServer({ nodeName: 'lab' });
  server.putPod(podObject('web', { secrets: ['alice'] }));
  server.putSecret(secretObject('alice', 'hunter2'));
  client = await connect(15_000);
});

afterEach(async () => {
  client.close();
  await server.close();
});

/** The deadline is a patient one unless a test is about it: the machine may do much else. */
async function connect(timeoutMs: number): Promise<ApiClient> {
  const { path: kubeconfig } = await server.kubeconfig(NODE_USER, { by: 'token' });
  const identity = createIdentity({ kubeconfig });
  return createApiClient({ identity, timeoutMs, userAgent: 'pullwarden/1.2.3' });
}

const path = '/api/v1/namespaces/team-a/pods/web';
const event = {
  method: 'POST',
  path: '/api/v1/namespaces/team-a/events',
  body: {
    contentType: 'application/json',
    object: { metadata: { name: 'web.1' }, involvedObject: { namespace: 'team-a' } },
  },
} as const;

const codes = (): (number | undefined)[] => server.requests().map(({ code }) => code);

describe('a question to the API server', () => {
  it('is answered, and says who asks', async () => {
    expect(await client.ask({ path })).toMatchObject({ kind: 'Pod' });
    expect(server.requests()[0]?.userAgent).toBe('pullwarden/1.2.3');
  });

  it.each([
    [400, 'badRequest'],
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [404, 'notFound'],
    [409, 'conflict'],
    [410, 'expired'],
    [429, 'tooManyRequests'],
    [500, 'serverError'],
    [503, 'serverError'],
    [504, 'serverError'],
  ])('that is answered %i fails as %s', async (code, reason) => {
    server.fault({ does: { kind: 'status', code, retryAfterSeconds: 30 } });
    await expect(client.ask({ path })).rejects.toMatchObject({
      reason,
      message: expect.stringContaining(`answered ${code}`),
    });
  });

  it('is asked again when it was told to come later', async () => {
    server.fault({ times: 1, does: { kind: 'status', code: 429, retryAfterSeconds: 1 } });
    const begun = performance.now();
    expect(await client.ask({ path })).toMatchObject({ kind: 'Pod' });
    expect(performance.now() - begun).toBeGreaterThanOrEqual(990);
    expect(codes()).toEqual([429, 200]);
  });

  it('is not asked again where that would be after its deadline, but the caller is told when', async () => {
    server.fault({ does: { kind: 'status', code: 503, retryAfterSeconds: 20 } });
    await expect(client.ask({ path })).rejects.toMatchObject({ reason: 'serverError', retryAfterMs: 20_000 });
    expect(codes()).toEqual([503]);
  });

  it('takes no advice to stay away for hours', async () => {
    server.fault({ does: { kind: 'status', code: 503, retryAfterSeconds: 86_400 } });
    await expect(client.ask({ path })).rejects.toMatchObject({ retryAfterMs: 60_000 });
  });

  it('is not asked for ever, nor without pause, where it is told to come at once', async () => {
    const begun = performance.now();
    const answer = client.ask({ path: '/healthz' }).catch((error: unknown) => error);
    expect(await answer).toMatchObject({ reason: 'answerMalformed' });
    server.fault({ does: { kind: 'status', code: 429, retryAfterSeconds: 0 } });
    await expect(client.ask({ path })).rejects.toMatchObject({ reason: 'tooManyRequests' });
    expect(server.requestsFor('get', 'pods').length).toBeLessThanOrEqual(11);
    expect(performance.now() - begun).toBeGreaterThanOrEqual(1_000);
  });

  it('about a version of the future is not asked again: it will not come', async () => {
    const version = '99999999';
    const query = { fieldSelector: 'spec.nodeName=lab', resourceVersion: version };
    await expect(client.ask({ path: '/api/v1/pods', query })).rejects.toMatchObject({ reason: 'tooNew' });
    expect(codes()).toEqual([504]);
  });

  it('that is not answered is given up', async () => {
    server.fault({ does: { kind: 'hang' } });
    client.close();
    client = await connect(300);
    await expect(client.ask({ path })).rejects.toMatchObject({
      reason: 'timeout',
      message: 'the API server did not answer within 300 ms',
    });
  });

  it('whose answer stops in the middle is given up', async () => {
    server.fault({ does: { kind: 'cut', afterBytes: 20 } });
    await expect(client.ask({ path })).rejects.toMatchObject({ reason: 'unreachable' });
  });

  it('is given up by who asked', async () => {
    server.fault({ does: { kind: 'hang' } });
    const giveUp = new AbortController();
    const asked = client.ask({ path, signal: giveUp.signal });
    setTimeout(() => giveUp.abort(), 30);
    await expect(asked).rejects.toMatchObject({ reason: 'unreachable' });
  });

  it('goes over a connection that is kept; one that was closed meanwhile is no failure', async () => {
    await client.ask({ path });
    await server.stop();
    await server.start();
    expect(await client.ask({ path })).toMatchObject({ kind: 'Pod' });
  });

  it('is asked anew over another connection when the kept one breaks under it; an Event is not', async () => {
    await client.ask({ path });
    server.fault({ times: 1, does: { kind: 'drop' } });
    expect(await client.ask({ path })).toMatchObject({ kind: 'Pod' });
    server.fault({ times: 1, does: { kind: 'drop' } });
    await expect(client.ask(event)).rejects.toMatchObject({ reason: 'unreachable' });
    expect(server.requestsFor('create', 'events')).toHaveLength(1);
  });

  it('is answered with more than any object is: given up', async () => {
    server.fault({ does: { kind: 'body', chunks: [Buffer.alloc(17 * 1_048_576, 0x20)] } });
    await expect(client.ask({ path })).rejects.toMatchObject({ reason: 'answerTooLarge' });
  });

  it('that cannot be read repeats nothing of the answer, which may be a secret', async () => {
    const body = '{"kind":"Secret","data":{"password":"aHVudGVyMg=="';
    server.fault({ does: { kind: 'body', chunks: [Buffer.from(body)] } });
    const secret = '/api/v1/namespaces/team-a/secrets/alice';
    const error = await client.ask({ path: secret }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ reason: 'answerMalformed' });
    expect(inspect(error, { depth: 9 })).not.toContain('aHVudGVyMg');
  });

  it('that fails never repeats the token it was asked with', async () => {
    const { path: kubeconfig, token } = await server.kubeconfig(NODE_USER, { by: 'token' });
    const own = createApiClient({ identity: createIdentity({ kubeconfig }), timeoutMs: 200 });
    const errors: unknown[] = [];
    const fail = async (): Promise<void> => {
      errors.push(await own.ask({ path }).catch((error: unknown) => error));
    };
    for (const does of [
      { kind: 'drop' },
      { kind: 'hang' },
      { kind: 'status', code: 500 },
      { kind: 'status', code: 403 },
    ] as const) {
      const fault = server.fault({ does });
      await fail();
      fault.clear();
    }
    await server.stop();
    await fail();
    own.close();
    expect(errors).toHaveLength(5);
    for (const error of errors) expect(error).toBeInstanceOf(Error);
    expect(inspect(errors, { depth: 9 })).not.toContain(token);
  });
});

describe('a name', () => {
  it.each(['web', 'web-1.example', 'a', '0'])('%s could be one', (name) => {
    expect(isObjectName(name)).toBe(true);
  });
  it.each(['', '.', '..', 'a..b', 'a/b', 'A', 'a%2fb', '-a', 'a-', 'a b', 'a\nb', 'x'.repeat(254)])(
    '%j could not',
    (name) => {
      expect(isObjectName(name)).toBe(false);
    },
  );
});
