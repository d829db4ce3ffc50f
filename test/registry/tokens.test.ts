import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { loginOf } from '../../agent/registry/login.ts';
import {
  basicOfAlice,
  byDigest,
  clientFor,
  fake,
  grants,
  login,
  manifestDigest,
  plainHttp,
  refuses,
  unavailable,
  wants,
} from './scene.ts';
import { token, tokenRegistry } from './token-scene.ts';

describe('the request for a token', () => {
  it('carries the login, the service, and what is asked for with what the registry wants', async () => {
    const { registry, tokens } = await tokenRegistry(
      token({ token: 'good' }),
      'service="a b",scope="repository:x:pull other"',
    );
    await (await clientFor(plainHttp(registry.host))).manifest(byDigest(registry.host, { login: login() }));
    const [{ method, path, authorization } = { method: '', path: '', authorization: '' }] = tokens.heard;
    const url = new URL(path, 'http://tokens');
    expect([method, url.pathname, authorization]).toEqual(['GET', '/token', basicOfAlice]);
    expect(url.searchParams.getAll('service')).toEqual(['a b']);
    expect(url.searchParams.getAll('scope')).toEqual([
      'other',
      'repository:team/app:pull',
      'repository:x:pull',
    ]);
  });

  it('keeps what stands in the realm', async () => {
    const tokens = await fake(token({ token: 'good' }));
    const registry = await fake(wants('Bearer good', `Bearer realm="http://${tokens.host}/t?a=1"`));
    const client = await clientFor(plainHttp(registry.host));
    expect(await client.manifest(byDigest(registry.host))).toMatchObject({ answer: 'granted' });
    expect(tokens.heard[0]).toMatchObject({
      path: '/t?a=1&scope=repository%3Ateam%2Fapp%3Apull',
      authorization: undefined,
    });
  });

  it('is a POST for an identity token', async () => {
    let form = new URLSearchParams();
    const { registry, tokens } = await tokenRegistry(async (request, response) => {
      form = new URLSearchParams(await text(request));
      token({ access_token: 'good' })(request, response);
    });
    const identity = loginOf({ username: '<token>', password: 'refresh me' }, 'key');
    const client = await clientFor(plainHttp(registry.host));
    const answer = await client.manifest(byDigest(registry.host, identity && { login: identity }));
    expect(answer).toMatchObject({ answer: 'granted', asked: 'withCredential' });
    expect(tokens.heard).toMatchObject([{ method: 'POST', path: '/token', authorization: undefined }]);
    expect(Object.fromEntries(form)).toEqual({
      grant_type: 'refresh_token',
      refresh_token: 'refresh me',
      client_id: 'pullwarden',
      service: 'lab',
      scope: 'repository:team/app:pull',
    });
  });

  it('is never a Basic login with an identity token', async () => {
    const registry = await fake(wants('Basic anything', 'Basic realm="lab"'));
    const identity = loginOf({ username: '<token>', password: 'refresh me' }, 'key');
    const client = await clientFor(plainHttp(registry.host));
    const answer = await client.manifest(byDigest(registry.host, identity && { login: identity }));
    expect(answer).toMatchObject({ answer: 'unauthorized' });
    expect(registry.heard.map(({ authorization }) => authorization)).toEqual([undefined]);
  });
});

describe('a token', () => {
  it('is kept until it expires', async () => {
    let now = 1_000_000;
    const { registry, tokens } = await tokenRegistry(token({ token: 'good', expires_in: 100 }));
    const client = await clientFor(plainHttp(registry.host), { now: () => now });
    const ask = (): Promise<object> => client.manifest(byDigest(registry.host, { login: login() }));
    await ask();
    now += 90_000;
    expect(await ask()).toMatchObject({ answer: 'granted', spent: { requests: 1, tokenRequests: 0 } });
    now += 10_000;
    expect(await ask()).toMatchObject({ answer: 'granted', spent: { requests: 1, tokenRequests: 1 } });
    expect(tokens.heard).toHaveLength(2);
  });

  it.each<[string, object, number]>([
    ['a minute where nothing is said', {}, 60_000],
    ['an hour at most', { expires_in: 1e9 }, 3_600_000],
    [
      'by its own clock where that is earlier',
      { expires_in: 300, issued_at: new Date(1_000_000 - 100_000).toISOString() },
      200_000,
    ],
    ['by ours where its own is ahead', { expires_in: 300, issued_at: '2999-01-01T00:00:00Z' }, 300_000],
    ['a minute for a time that is none', { expires_in: -1, issued_at: 'yesterday' }, 60_000],
  ])('lives for %s', async (_, more, lifetimeMs) => {
    let now = 1_000_000;
    const { registry, tokens } = await tokenRegistry(token({ token: 'good', ...more }));
    const client = await clientFor(plainHttp(registry.host), { now: () => now });
    const ask = (): Promise<object> => client.manifest(byDigest(registry.host, { login: login() }));
    await ask();
    now += lifetimeMs - 6_000;
    await ask();
    expect(tokens.heard).toHaveLength(1);
    now += 2_000;
    await ask();
    expect(tokens.heard).toHaveLength(2);
  });

  it('is never taken for another login', async () => {
    const { registry, tokens } = await tokenRegistry((request, response) => {
      const isAlice = request.headers.authorization === basicOfAlice;
      (isAlice ? token({ token: 'good' }) : refuses(401, 'UNAUTHORIZED'))(request, response);
    });
    const client = await clientFor(plainHttp(registry.host));
    const mallory = loginOf({ username: 'alice', password: 'guess' }, 'key of mallory');
    expect(await client.manifest(byDigest(registry.host, { login: login() }))).toMatchObject({
      answer: 'granted',
    });
    expect(await client.manifest(byDigest(registry.host, mallory && { login: mallory }))).toMatchObject({
      answer: 'unauthorized',
    });
    expect(await client.manifest(byDigest(registry.host))).toMatchObject({ answer: 'unauthorized' });
    expect(tokens.heard).toHaveLength(3);
  });

  it('is renewed once when the registry no longer takes it', async () => {
    let issued = 0;
    let good = 'token-1';
    const tokens = await fake((request, response) => {
      issued += 1;
      token({ token: `token-${issued}`, expires_in: 300 })(request, response);
    });
    const registry = await fake((request, response) =>
      wants(`Bearer ${good}`, `Bearer realm="http://${tokens.host}/",service="lab"`)(request, response),
    );
    const client = await clientFor(plainHttp(registry.host));
    const ask = (): Promise<object> => client.manifest(byDigest(registry.host, { login: login() }));
    await ask();
    good = 'token-2';
    expect(await ask()).toMatchObject({ answer: 'granted', spent: { requests: 2, tokenRequests: 1 } });
    good = 'none';
    expect(await ask()).toMatchObject({ answer: 'unauthorized', spent: { requests: 2, tokenRequests: 1 } });
  });

  it.each([
    [400, 'DENIED'],
    [401, 'UNAUTHORIZED'],
    [403, 'DENIED'],
    [404, 'NAME_UNKNOWN'],
  ])('is renewed also where the registry says %d and sends no challenge', async (status, code) => {
    let issued = 0;
    let good = 'token-1';
    const tokens = await fake((request, response) => {
      issued += 1;
      token({ token: `token-${issued}`, expires_in: 300 })(request, response);
    });
    const registry = await fake((request, response) => {
      const { authorization } = request.headers;
      const challenge = `Bearer realm="http://${tokens.host}/",service="lab"`;
      const next =
        authorization === undefined || authorization === `Bearer ${good}`
          ? wants(`Bearer ${good}`, challenge)
          : refuses(status, code);
      next(request, response);
    });
    const client = await clientFor(plainHttp(registry.host));
    const ask = (): Promise<object> => client.manifest(byDigest(registry.host, { login: login() }));
    await ask();
    good = 'token-2';
    expect(await ask()).toMatchObject({ answer: 'granted', spent: { requests: 2, tokenRequests: 1 } });
    good = 'none';
    expect(await ask()).toMatchObject({ by: 'registry', status, spent: { requests: 2, tokenRequests: 1 } });
  });

  it('is asked for anew where the question says so', async () => {
    const { registry, tokens } = await tokenRegistry(token({ token: 'good', expires_in: 300 }));
    const client = await clientFor(plainHttp(registry.host));
    await client.manifest(byDigest(registry.host, { login: login() }));
    await client.manifest(byDigest(registry.host, { login: login(), freshToken: true }));
    expect(tokens.heard).toHaveLength(2);
  });

  it('that is new and "invalid" is an outage, and for anybody a refusal', async () => {
    const tokens = await fake(token({ token: 'skewed' }));
    const challenge = `Bearer realm="http://${tokens.host}/",error="invalid_token"`;
    const registry = await fake(wants('Bearer good', challenge));
    const client = await clientFor(plainHttp(registry.host));
    expect(await client.manifest(byDigest(registry.host, { login: login() }))).toMatchObject(
      unavailable('challenge'),
    );
    expect(await client.manifest(byDigest(registry.host))).toMatchObject({ answer: 'unauthorized' });
  });

  it('for one repository opens no other: its scope is another', async () => {
    const { registry, tokens } = await tokenRegistry(token({ token: 'good' }));
    const client = await clientFor(plainHttp(registry.host));
    await client.manifest(byDigest(registry.host, { login: login() }));
    await client.manifest(byDigest(registry.host, { login: login(), repository: 'team/other' }));
    expect(tokens.heard.map(({ path }) => new URL(path, 'http://t').searchParams.getAll('scope'))).toEqual([
      ['repository:team/app:pull'],
      ['repository:team/other:pull'],
    ]);
  });
});

describe('a registry that shows its challenge at the root alone (gcr.io)', () => {
  it('is asked there once', async () => {
    const registry = await fake((request, response) => {
      const isRight = request.headers.authorization === basicOfAlice;
      const challenge = request.url === '/v2/' ? { 'www-authenticate': 'Basic realm="lab"' } : {};
      (isRight ? grants : refuses(401, 'UNAUTHORIZED', challenge))(request, response);
    });
    const client = await clientFor(plainHttp(registry.host));
    expect(await client.manifest(byDigest(registry.host, { login: login() }))).toMatchObject({
      answer: 'granted',
    });
    const path = `/v2/team/app/manifests/${manifestDigest}`;
    expect(registry.heard.map((request) => request.path)).toEqual([path, '/v2/', path]);
  });

  it('may hide what is private behind 404', async () => {
    const registry = await fake((request, response) => {
      if (request.headers.authorization === basicOfAlice) return grants(request, response);
      const next =
        request.url === '/v2/'
          ? refuses(401, 'UNAUTHORIZED', { 'www-authenticate': 'Basic realm="lab"' })
          : refuses(404, 'NAME_UNKNOWN');
      return next(request, response);
    });
    const client = await clientFor(plainHttp(registry.host));
    expect(await client.manifest(byDigest(registry.host, { login: login() }))).toMatchObject({
      answer: 'granted',
      spent: { requests: 3 },
    });
    expect(await client.manifest(byDigest(registry.host, { login: login() }))).toMatchObject({
      spent: { requests: 1 },
    });
  });

  it('without a challenge anywhere is asked for one no second time', async () => {
    const registry = await fake(refuses(404, 'NAME_UNKNOWN'));
    const client = await clientFor(plainHttp(registry.host));
    await client.manifest(byDigest(registry.host, { login: login() }));
    expect(await client.manifest(byDigest(registry.host, { login: login() }))).toMatchObject({
      answer: 'notFound',
      spent: { requests: 1 },
    });
  });
});
