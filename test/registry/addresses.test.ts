import type { LookupFunction } from 'node:net';
import { describe, expect, it } from 'vitest';
import { isForbidden, isLoopbackHost } from '../../agent/registry/address.ts';
import { byDigest, clientFor, fake, grants, login, redirects, refuses, says, unavailable } from './scene.ts';

describe('addresses that nobody may have the agent ask', () => {
  it.each([
    '169.254.169.254',
    '169.254.0.0',
    '169.254.255.255',
    '::ffff:169.254.169.254',
    '::ffff:a9fe:a9fe',
    '64:ff9b::a9fe:a9fe',
    '::a9fe:a9fe',
    'fe80::1',
    'fe80::1%eth0',
    'febf::1',
    'fd00:ec2::254',
    'fd20:ce::254',
    '100.100.100.200',
    '168.63.129.16',
    '192.0.0.192',
    '0.0.0.0',
    '0.1.2.3',
    '::',
    '::ffff:0.0.0.0',
    '224.0.0.1',
    '239.255.255.255',
    'ff02::1',
    '255.255.255.255',
    'no address',
    '',
  ])('%s', (address) => {
    expect(isForbidden(address, 'registry')).toBe(true);
  });

  it.each([
    '127.0.0.1',
    '::1',
    '10.0.0.1',
    '192.168.1.1',
    '172.16.0.1',
    '8.8.8.8',
    '169.253.1.1',
    'fd00::1',
    '2001:db8::1',
    '100.64.0.1',
  ])('%s is not one', (address) => {
    expect(isForbidden(address, 'registry')).toBe(false);
  });

  it.each(['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1'])(
    '%s is one for who was sent there from elsewhere',
    (address) => {
      expect(isForbidden(address, 'elsewhere')).toBe(true);
      expect(isForbidden('10.0.0.1', 'elsewhere')).toBe(false);
    },
  );

  it.each(['localhost', 'a.localhost', '127.0.0.1', '[::1]', '::1'])('%s is this machine', (host) => {
    expect(isLoopbackHost(host)).toBe(true);
  });

  it.each(['localhost.example', 'notlocalhost', '10.0.0.1', '128.0.0.1', '[::2]', '127.example'])(
    '%s is another one',
    (host) => {
      expect(isLoopbackHost(host)).toBe(false);
    },
  );
});

/** Name resolution that knows these names. */
function names(addresses: Readonly<Record<string, readonly string[]>>): LookupFunction {
  return (hostname, _options, callback) => {
    const found = addresses[hostname] ?? [];
    if (found.length === 0) callback(Object.assign(new Error('unknown'), { code: 'ENOTFOUND' }), []);
    else
      callback(
        null,
        found.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      );
  };
}

const at = (name: string, host: string): string => `${name}:${host.split(':').at(-1)}`;
const plain = (...hosts: string[]): Record<string, string> =>
  Object.fromEntries(hosts.map((host) => [host, `server = "http://${host}"\n`]));

describe('names', () => {
  it.each([
    ['169.254.169.254'],
    ['::ffff:169.254.169.254'],
    ['fe80::1'],
    ['169.254.169.254', 'fd00:ec2::254'],
    ['0.0.0.0'],
  ])('with no address but %s are not asked', async (...addresses) => {
    const client = await clientFor(plain('registry.test:5000'), {
      lookup: names({ 'registry.test': addresses }),
    });
    expect(await client.manifest(byDigest('registry.test:5000'))).toMatchObject(
      unavailable('forbiddenAddress'),
    );
  });

  it('with several addresses are asked at those that may be', async () => {
    const { host } = await fake(grants);
    const registry = at('registry.test', host);
    const lookup = names({ 'registry.test': ['169.254.169.254', '127.0.0.1'] });
    const client = await clientFor(plain(registry), { lookup });
    expect(await client.manifest(byDigest(registry))).toMatchObject({ answer: 'granted' });
  });

  it('without an address', async () => {
    const client = await clientFor({}, { lookup: names({}) });
    expect(await client.manifest(byDigest('registry.test'))).toMatchObject(unavailable('nameResolution'));
  });

  it('that stand in a realm are looked at as well, and get no login', async () => {
    const challenge = 'Bearer realm="http://metadata.test/token",service="lab"';
    const { host } = await fake(refuses(401, 'UNAUTHORIZED', { 'www-authenticate': challenge }));
    const registry = at('registry.test', host);
    const lookup = names({ 'registry.test': ['127.0.0.1'], 'metadata.test': ['169.254.169.254'] });
    const client = await clientFor(plain(registry), { lookup });
    const answer = await client.manifest(byDigest(registry, { login: login() }));
    expect(answer).toMatchObject(unavailable('forbiddenAddress'));
  });

  it('that stand in a redirect are looked at as well', async () => {
    const { host } = await fake(redirects(307, 'http://metadata.test/latest'));
    const registry = at('registry.test', host);
    const lookup = names({ 'registry.test': ['127.0.0.1'], 'metadata.test': ['169.254.169.254'] });
    const client = await clientFor(plain(registry), { lookup });
    expect(await client.manifest(byDigest(registry))).toMatchObject(unavailable('forbiddenAddress'));
  });
});

describe("another machine's registry", () => {
  it.each(['127.0.0.1', 'self.test'])(
    'leads by a redirect to nothing on this one (%s), whose mirrors serve without asking',
    async (name) => {
      const mirror = await fake(grants);
      const { host } = await fake(redirects(307, `http://${at(name, mirror.host)}/`));
      const registry = at('registry.test', host);
      const lookup = names({ 'registry.test': ['127.0.0.1'], 'self.test': ['127.0.0.1'] });
      const client = await clientFor(plain(registry), { lookup });
      expect(await client.manifest(byDigest(registry))).toMatchObject(unavailable('forbiddenAddress'));
      expect(mirror.heard).toEqual([]);
    },
  );

  it('leads by a realm to nothing on this one', async () => {
    const local = await fake(says(200, '{"token":"t"}'));
    const challenge = `Bearer realm="http://${local.host}/token"`;
    const { host } = await fake(refuses(401, 'UNAUTHORIZED', { 'www-authenticate': challenge }));
    const registry = at('registry.test', host);
    const client = await clientFor(plain(registry), { lookup: names({ 'registry.test': ['127.0.0.1'] }) });
    expect(await client.manifest(byDigest(registry, { login: login() }))).toMatchObject(
      unavailable('forbiddenAddress'),
    );
    expect(local.heard).toEqual([]);
  });
});
