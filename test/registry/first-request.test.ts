import { describe, expect, it } from 'vitest';
import {
  basicOfAlice,
  byDigest,
  clientFor,
  fake,
  grants,
  login,
  manifestDigest,
  plainHttp,
  wants,
} from './scene.ts';

const basic = 'Basic realm="lab"';

describe('the first request', () => {
  it('asks for every kind of manifest, uncompressed, without a login', async () => {
    const { host, heard } = await fake(grants);
    await (await clientFor(plainHttp(host))).manifest(byDigest(host, { login: login() }));
    expect(heard).toHaveLength(1);
    expect(heard[0]).toMatchObject({
      method: 'GET',
      path: `/v2/team/app/manifests/${manifestDigest}`,
      authorization: undefined,
    });
    expect(heard[0]?.headers['accept-encoding']).toBe('identity');
    expect(heard[0]?.headers.accept).toBe(
      'application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, ' +
        'application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json',
    );
  });

  it('is saved once it is known how the registry wants to be asked', async () => {
    const { host, heard } = await fake(wants(basicOfAlice, basic));
    const client = await clientFor(plainHttp(host));
    await client.manifest(byDigest(host, { login: login() }));
    expect(await client.manifest(byDigest(host, { login: login() }))).toMatchObject({
      answer: 'granted',
      spent: { requests: 1 },
    });
    expect(heard).toHaveLength(3);
  });

  it.each(['a/../b', 'A/b', 'a//b', '/a', 'a/', 'a b', 'a?b', 'a%2fb', ''])(
    'is never sent for %j',
    async (repository) => {
      const { host, heard } = await fake(grants);
      const client = await clientFor(plainHttp(host));
      expect(await client.manifest(byDigest(host, { repository }))).toMatchObject({
        answer: 'unavailable',
        seen: 'invalidName',
      });
      expect(heard).toEqual([]);
    },
  );

  it.each([
    ...[
      '',
      '..',
      '.',
      '../etc',
      'a/b',
      'a..b',
      'user@host',
      'user:word@host',
      'host:99999',
      'host:x',
      '_default',
    ],
    ...['[::1', 'a b', 'a%2eb', 'a\u0000b', 'ä.example', 'a'.repeat(300)],
  ])('is never sent for the registry %j', async (registry) => {
    const client = await clientFor({ _default: 'server = "http://127.0.0.1:1"' });
    expect(await client.manifest(byDigest(registry))).toMatchObject({
      answer: 'unavailable',
      seen: 'invalidName',
      spent: { requests: 0 },
    });
  });

  it.each(['../x', 'a/b', 'a?b', '', 'sha256:abc', `sha256:${'A'.repeat(64)}`])(
    'is never sent for the reference %j',
    async (reference) => {
      const { host, heard } = await fake(grants);
      const client = await clientFor(plainHttp(host));
      expect(await client.manifest(byDigest(host, { reference }))).toMatchObject({
        answer: 'unavailable',
        seen: 'invalidName',
      });
      expect(heard).toEqual([]);
    },
  );
});
