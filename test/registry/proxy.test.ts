import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { RegistryClient } from '../../agent/registry/client.ts';
import { proxyFromEnvironment } from '../../agent/registry/proxy.ts';
import { certificateFor } from './certificates.ts';
import {
  basicOfAlice,
  byDigest,
  clientFor,
  type Fake,
  fake,
  fakeTcp,
  grants,
  login,
  refuses,
  shortLimits,
  temporaryFolder,
  unavailable,
  wants,
} from './scene.ts';

const chosen = (environment: Record<string, string>, url: string): string | undefined =>
  proxyFromEnvironment(environment)(new URL(url))?.href;

describe('which proxy (golang.org/x/net/http/httpproxy)', () => {
  const both = { HTTP_PROXY: 'http://plain.test:3128', HTTPS_PROXY: 'http://secure.test:3128' };

  it.each<[string, Record<string, string>, string, string | undefined]>([
    ['none', {}, 'https://a.test', undefined],
    ['by scheme', both, 'https://a.test', 'http://secure.test:3128/'],
    ['by scheme', both, 'http://a.test', 'http://plain.test:3128/'],
    ['not one for the other', { HTTP_PROXY: 'http://plain.test' }, 'https://a.test', undefined],
    ['in lower case', { https_proxy: 'http://lower.test' }, 'https://a.test', 'http://lower.test/'],
    [
      'upper case first',
      { https_proxy: 'http://lower.test', HTTPS_PROXY: 'http://upper.test' },
      'https://a.test',
      'http://upper.test/',
    ],
    [
      'an empty one counts as none',
      { https_proxy: 'http://lower.test', HTTPS_PROXY: '' },
      'https://a.test',
      'http://lower.test/',
    ],
    ['without a scheme', { HTTPS_PROXY: 'proxy.test:8080' }, 'https://a.test', 'http://proxy.test:8080/'],
    ['a name alone', { HTTPS_PROXY: 'proxy' }, 'https://a.test', 'http://proxy/'],
    ['what cannot be read', { HTTPS_PROXY: 'http://[' }, 'https://a.test', undefined],
    ['never for localhost', both, 'https://localhost:5000', undefined],
    ['never for loopback', both, 'https://127.0.0.1:5000', undefined],
    ['never for loopback in IPv6', both, 'https://[::1]:5000', undefined],
    ['for a name below localhost', both, 'https://a.localhost', 'http://secure.test:3128/'],
  ])('%s', (_, environment, url, expected) => {
    expect(chosen(environment, url)).toBe(expected);
  });

  it.each<[string, string, boolean]>([
    ['*', 'https://a.test', false],
    ['x, *', 'https://a.test', false],
    ['a.test', 'https://a.test', false],
    ['a.test', 'https://b.a.test', false],
    ['a.test', 'https://ba.test', true],
    ['.a.test', 'https://b.a.test', false],
    ['.a.test', 'https://a.test', true],
    ['*.a.test', 'https://b.a.test', false],
    ['*.a.test', 'https://a.test', true],
    ['A.Test', 'https://a.test', false],
    [' a.test , b.test ', 'https://b.test', false],
    ['a.test:443', 'https://a.test', false],
    ['a.test:5000', 'https://a.test', true],
    ['a.test:5000', 'https://a.test:5000', false],
    ['10.1.2.3', 'https://10.1.2.3', false],
    ['10.1.2.3', 'https://10.1.2.4', true],
    ['10.1.2.3:443', 'https://10.1.2.3', false],
    ['10.1.2.3:80', 'https://10.1.2.3', true],
    ['10.0.0.0/8', 'https://10.1.2.3', false],
    ['10.0.0.0/8', 'https://11.1.2.3', true],
    ['10.0.0.0/8', 'https://a.test', true],
    ['fd00::/8', 'https://[fd12::1]', false],
    ['fd00::1', 'https://[fd00::1]', false],
    ['[fd00::1]', 'https://[fd00::1]', true],
    ['[fd00::1]:443', 'https://[fd00::1]', false],
    ['::ffff:10.1.2.3', 'https://10.1.2.3', false],
    ['3', 'https://10.1.2.3', true],
    [':443', 'https://a.test', true],
    [',,', 'https://a.test', true],
    ['10.0.0.0/99', 'https://10.1.2.3', true],
  ])('NO_PROXY=%s for %s: %s', (noProxy, url, isProxied) => {
    expect(chosen({ ...both, NO_PROXY: noProxy }, url) !== undefined).toBe(isProxied);
  });
});

type Proxy = { host: string; connects: { target: string; authorization: string | undefined }[] };

/** A proxy that connects every name to `port` on this machine, or answers CONNECT with a status. */
async function connectProxy(port: number, status = 200): Promise<Proxy> {
  const connects: Proxy['connects'] = [];
  const server: Server = createServer();
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  server.on('connect', (request, socket, head) => {
    connects.push({ target: request.url ?? '', authorization: request.headers['proxy-authorization'] });
    socket.on('error', () => {});
    if (status !== 200) {
      socket.end(
        `HTTP/1.1 ${status} No\r\ncontent-type: text/html\r\nproxy-authenticate: Basic\r\n\r\n<html>no</html>`,
      );
      return;
    }
    const upstream = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      upstream.write(head);
      upstream.pipe(socket);
      socket.pipe(upstream);
    });
    sockets.add(upstream);
    upstream.on('error', () => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  });
  const address = server.address();
  return {
    host: `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    connects,
  };
}

const portOf = (host: string): number => Number(host.split(':').at(-1));

/** registry.test, which only the proxy can reach. */
async function behindProxy(
  listener: Parameters<typeof fake>[0],
): Promise<{ registry: Fake; client: (proxy: string) => Promise<RegistryClient> }> {
  const folder = await temporaryFolder();
  const { certificate, key, certificateFile } = await certificateFor(folder, 'registry', [
    'DNS:registry.test',
  ]);
  const registry = await fake(listener, { tls: { cert: certificate, key } });
  const files = { 'registry.test': `ca = "${certificateFile}"\n` };
  const client = (proxy: string): Promise<RegistryClient> =>
    clientFor(files, { environment: { HTTPS_PROXY: proxy }, limits: shortLimits });
  return { registry, client };
}

describe('through a proxy', () => {
  it('a registry is asked by CONNECT, and its certificate is its own', async () => {
    const { registry, client } = await behindProxy(wants(basicOfAlice, 'Basic realm="lab"'));
    const proxy = await connectProxy(portOf(registry.host));
    const answer = await (await client(`http://${proxy.host}`)).manifest(
      byDigest('registry.test', { login: login() }),
    );
    expect(answer).toMatchObject({ answer: 'granted', spent: { requests: 2 } });
    expect(proxy.connects[0]).toEqual({ target: 'registry.test:443', authorization: undefined });
    expect(registry.heard.map(({ headers }) => headers['proxy-authorization'])).toEqual([
      undefined,
      undefined,
    ]);
  });

  it('a refusal is the registry’s own', async () => {
    const { registry, client } = await behindProxy(refuses(403, 'DENIED'));
    const proxy = await connectProxy(portOf(registry.host));
    expect(await (await client(`http://${proxy.host}`)).manifest(byDigest('registry.test'))).toMatchObject({
      answer: 'forbidden',
    });
  });

  it('that wants a login gets it, and the registry does not', async () => {
    const { registry, client } = await behindProxy(grants);
    const proxy = await connectProxy(portOf(registry.host));
    const answer = await (await client(`http://us%40er:p%3Ass@${proxy.host}`)).manifest(
      byDigest('registry.test'),
    );
    expect(answer).toMatchObject({ answer: 'granted' });
    expect(proxy.connects).toEqual([
      { target: 'registry.test:443', authorization: `Basic ${Buffer.from('us@er:p:ss').toString('base64')}` },
    ]);
    expect(registry.heard[0]?.headers['proxy-authorization']).toBeUndefined();
  });

  it.each([407, 403, 404, 401, 500, 502, 504, 302])(
    'that answers CONNECT with %d is an outage',
    async (status) => {
      const { registry, client } = await behindProxy(grants);
      const proxy = await connectProxy(portOf(registry.host), status);
      const answer = await (await client(`http://${proxy.host}`)).manifest(
        byDigest('registry.test', { login: login() }),
      );
      expect(answer).toMatchObject(unavailable('proxy', { status }));
      expect(proxy.connects).toHaveLength(1);
      expect(registry.heard).toEqual([]);
    },
  );

  it.each<[string, (socket: Socket) => void]>([
    ['says nothing', (socket) => void socket.resume()],
    ['hangs up', (socket) => void socket.end()],
    ['speaks no HTTP', (socket) => void socket.write('220 smtp\r\n')],
  ])('that %s is an outage', async (_, behaves) => {
    const { client } = await behindProxy(grants);
    const proxy = await fakeTcp(behaves);
    const answer = await (await client(`http://${proxy}`)).manifest(byDigest('registry.test'));
    // For one that says nothing two deadlines of the same length run: the proxy's and the question's.
    expect(['proxy', 'timeout']).toContain(answer.answer === 'unavailable' ? answer.seen : answer.answer);
  });

  it.each(['http://127.0.0.1:1', 'socks5://127.0.0.1:1'])(
    'that is not there, or of a kind that is not supported (%s)',
    async (proxy) => {
      const { client } = await behindProxy(grants);
      expect(await (await client(proxy)).manifest(byDigest('registry.test'))).toMatchObject(
        unavailable('proxy'),
      );
    },
  );

  it('no address is asked that may not be', async () => {
    const proxy = await connectProxy(1);
    const client = await clientFor(
      {},
      { environment: { HTTPS_PROXY: `http://${proxy.host}`, HTTP_PROXY: `http://${proxy.host}` } },
    );
    for (const registry of ['169.254.169.254', '[fe80::1]', '[::ffff:a9fe:a9fe]:80']) {
      expect(await client.manifest(byDigest(registry))).toMatchObject(unavailable('forbiddenAddress'));
    }
    expect(proxy.connects).toEqual([]);
  });

  it('plain HTTP is asked of the proxy itself', async () => {
    const proxy = await fake(grants);
    const client = await clientFor(
      { 'registry.test': 'server = "http://registry.test"\n' },
      { environment: { HTTP_PROXY: `http://user:word@${proxy.host}` } },
    );
    expect(await client.manifest(byDigest('registry.test'))).toMatchObject({ answer: 'granted' });
    const [{ path, headers } = { path: '', headers: {} }] = proxy.heard;
    expect(path).toMatch(/^http:\/\/registry\.test\/v2\/team\/app\/manifests\/sha256:/);
    expect(headers.host).toBe('registry.test');
    expect(headers['proxy-authorization']).toBe(`Basic ${Buffer.from('user:word').toString('base64')}`);
  });

  it.each<[string, number, string]>([
    ['a page', 403, 'notDistribution'],
    ['407', 407, 'proxy'],
    ['502', 502, 'serverError'],
  ])('plain HTTP that the proxy itself answers with %s is an outage', async (_, status, seen) => {
    const proxy = await fake((_request, response) => response.writeHead(status).end('<html>no</html>'));
    const client = await clientFor(
      { 'registry.test': 'server = "http://registry.test"\n' },
      { environment: { HTTP_PROXY: `http://${proxy.host}` } },
    );
    expect(await client.manifest(byDigest('registry.test'))).toMatchObject(unavailable(seen));
  });
});
