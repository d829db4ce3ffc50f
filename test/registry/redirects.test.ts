import type { RequestListener } from 'node:http';
import { describe, expect, it } from 'vitest';
import {
  basicOfAlice,
  byDigest,
  byTag,
  clientFor,
  fake,
  grants,
  login,
  manifest,
  manifestDigest,
  page,
  plainHttp,
  redirects,
  refuses,
  says,
  unavailable,
  wants,
} from './scene.ts';

/** Redirects who has logged in. */
function storedAt(location: string, status = 307): RequestListener {
  return (request, response) => {
    const isRight = request.headers.authorization === basicOfAlice;
    const next = isRight
      ? redirects(status, location)
      : refuses(401, 'UNAUTHORIZED', { 'www-authenticate': 'Basic realm="lab"' });
    next(request, response);
  };
}

describe('redirects', () => {
  it.each([301, 302, 303, 307, 308])('%d is followed to another host, without the login', async (status) => {
    const store = await fake(grants);
    const registry = await fake(storedAt(`http://${store.host}/object?signature=1`, status));
    const client = await clientFor(plainHttp(registry.host));
    const answer = await client.manifest(byDigest(registry.host, { login: login() }));
    expect(answer).toMatchObject({ answer: 'granted', asked: 'withCredential', spent: { requests: 3 } });
    expect(store.heard).toMatchObject([{ path: '/object?signature=1', authorization: undefined }]);
  });

  it('within the registry keep the login', async () => {
    const registry = await fake((request, response) => {
      const next = request.url === '/moved' ? wants(basicOfAlice, 'Basic') : storedAt('/moved');
      next(request, response);
    });
    const client = await clientFor(plainHttp(registry.host));
    expect(await client.manifest(byDigest(registry.host, { login: login() }))).toMatchObject({
      answer: 'granted',
    });
    expect(registry.heard.map(({ authorization }) => authorization)).toEqual([
      undefined,
      basicOfAlice,
      basicOfAlice,
    ]);
  });

  it('never carry the login again once they have led elsewhere', async () => {
    const back: { url?: string } = {};
    const store = await fake((request, response) => redirects(302, back.url ?? '')(request, response));
    const registry = await fake((request, response) => {
      const next = request.url === '/back' ? grants : storedAt(`http://${store.host}/`);
      next(request, response);
    });
    back.url = `http://${registry.host}/back`;
    const client = await clientFor(plainHttp(registry.host));
    expect(await client.manifest(byDigest(registry.host, { login: login() }))).toMatchObject({
      answer: 'granted',
    });
    expect(registry.heard.at(-1)).toMatchObject({ path: '/back', authorization: undefined });
  });

  it.each<[string, RequestListener]>([
    ['403', says(403, '<Error><Code>AccessDenied</Code></Error>')],
    ['403 in the form of a registry', refuses(403, 'DENIED')],
    ['404 in the form of a registry', refuses(404, 'BLOB_UNKNOWN')],
    ['401 with a challenge', refuses(401, 'UNAUTHORIZED', { 'www-authenticate': 'Basic realm="store"' })],
    ['400', says(400, '')],
    ['412 in the form of a registry', refuses(412, 'DENIED')],
  ])('to an object store that answers %s are an outage, not a refusal', async (_, store) => {
    const { host, heard } = await fake(store);
    const registry = await fake(storedAt(`http://${host}/object`));
    const client = await clientFor(plainHttp(registry.host));
    const answer = await client.manifest(byDigest(registry.host, { login: login() }));
    expect(answer).toMatchObject({ ...unavailable('redirect'), spent: { requests: 3 } });
    expect(heard).toMatchObject([{ authorization: undefined }]);
  });

  it('to a page are no grant', async () => {
    const portal = await fake(says(200, page, { 'content-type': 'text/html' }));
    const registry = await fake(redirects(302, `http://${portal.host}/login`));
    const client = await clientFor(plainHttp(registry.host));
    expect(await client.manifest(byDigest(registry.host))).toMatchObject(unavailable('digestMismatch'));
    expect(await client.manifest(byTag(registry.host))).toMatchObject(unavailable('notDistribution'));
  });

  it.each<[string, string, string]>([
    ['in circles', '/v2/team/app/manifests/again', 'redirect'],
    ['to a link-local address', 'http://169.254.169.254/latest/meta-data/', 'forbiddenAddress'],
    ['to a link-local address in IPv6', 'http://[fe80::1]/', 'forbiddenAddress'],
    ['to one mapped into IPv6', 'http://[::ffff:169.254.169.254]/', 'forbiddenAddress'],
    ['to one written as a number', 'http://2852039166/', 'forbiddenAddress'],
    ['to one written in octal', 'http://0251.0376.0251.0376/', 'forbiddenAddress'],
    ["to a cloud's metadata in IPv6", 'http://[fd00:ec2::254]/', 'forbiddenAddress'],
    ['to no address', 'http://0.0.0.0/', 'forbiddenAddress'],
    ['to a file', 'file:///etc/passwd', 'redirect'],
    ['to a script', 'javascript:alert(1)', 'redirect'],
    ['to what is no URL', 'http://[', 'redirect'],
    ['to nothing', '', 'redirect'],
    ['to where nobody is', 'http://127.0.0.1:1/', 'connect'],
  ])('%s end', async (_, location, seen) => {
    const registry = await fake(redirects(307, location));
    const client = await clientFor(plainHttp(registry.host), { limits: { redirects: 3 } });
    expect(await client.manifest(byDigest(registry.host))).toMatchObject(unavailable(seen));
    expect(registry.heard.length).toBeLessThanOrEqual(4);
  });

  it('without a Location end', async () => {
    const registry = await fake(says(302, page));
    const client = await clientFor(plainHttp(registry.host));
    expect(await client.manifest(byDigest(registry.host))).toMatchObject(
      unavailable('redirect', { status: 302 }),
    );
  });

  it('are five at most', async () => {
    const registry = await fake((request, response) => {
      const left = Number(/left=(\d+)/.exec(request.url ?? '')?.[1] ?? 5);
      (left === 0 ? grants : redirects(307, `?left=${left - 1}`))(request, response);
    });
    const client = await clientFor(plainHttp(registry.host));
    expect(await client.manifest(byDigest(registry.host))).toMatchObject({
      answer: 'granted',
      spent: { requests: 6 },
    });
    const one = await fake((request, response) => {
      const left = Number(/left=(\d+)/.exec(request.url ?? '')?.[1] ?? 6);
      (left === 0 ? grants : redirects(307, `?left=${left - 1}`))(request, response);
    });
    const other = await clientFor(plainHttp(one.host));
    expect(await other.manifest(byDigest(one.host))).toMatchObject(unavailable('redirect'));
  });

  it('carry no headers of the configuration to another host', async () => {
    const store = await fake(grants);
    const registry = await fake(redirects(307, `http://${store.host}/`));
    const toml = `server = "http://${registry.host}"\n[header]\nx-gateway = "secret"\n`;
    const client = await clientFor({ [registry.host]: toml });
    expect(await client.manifest(byDigest(registry.host))).toMatchObject({ answer: 'granted' });
    expect(registry.heard[0]?.headers['x-gateway']).toBe('secret');
    expect(store.heard[0]?.headers['x-gateway']).toBeUndefined();
  });

  it('with a blob are streamed from there', async () => {
    const store = await fake(says(200, manifest.toString()));
    const registry = await fake(redirects(307, `http://${store.host}/`));
    const client = await clientFor(plainHttp(registry.host));
    const pieces: Uint8Array[] = [];
    const answer = await client.blob(
      { registry: registry.host, repository: 'team/app', digest: manifestDigest },
      (piece) => {
        pieces.push(piece);
      },
    );
    expect(answer).toMatchObject({ answer: 'granted', size: manifest.length });
    expect(Buffer.concat(pieces)).toEqual(manifest);
  });
});
