import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { createAuthorization } from '../../agent/registry/authorization.ts';
import { readBody } from '../../agent/registry/body.ts';
import { parseChallenges } from '../../agent/registry/challenge.ts';
import { clientOver } from '../../agent/registry/client.ts';
import { ConfigurationError, plainTls } from '../../agent/registry/endpoint/endpoint.ts';
import { createEndpoints } from '../../agent/registry/endpoint/endpoints.ts';
import { parseHostsFile } from '../../agent/registry/endpoint/hosts-toml.ts';
import { findEntry, parseRegistriesConf } from '../../agent/registry/endpoint/registries-conf.ts';
import { defaultLimits } from '../../agent/registry/limits.ts';
import { parseManifest, selectPlatform } from '../../agent/registry/manifest.ts';
import { Outage } from '../../agent/registry/outage.ts';
import { proxyFromEnvironment } from '../../agent/registry/proxy.ts';
import { createTransport, type Transport, type WireAnswer } from '../../agent/registry/transport.ts';
import type { FuzzTarget } from './nri-targets.ts';
import { hostileBytes, type Random } from './random.ts';

/**
 * What the registry client must never let past: an answer outside its closed list, or a grant of other
 * bytes.
 */
class WrongAnswer extends Error {
  override readonly name = 'WrongAnswer';
}

const digest = `sha256:${'0'.repeat(64)}`;
const descriptor = { mediaType: 'application/octet-stream', digest, size: 2 };
const texts = (...samples: string[]): Buffer[] => samples.map((sample) => Buffer.from(sample));

const challenges = texts(
  'Bearer realm="https://auth.example/token",service="lab",scope="repository:a/b:pull"',
  'Basic realm="say \\"hi\\""',
  'Negotiate YII==, Basic realm=lab, Bearer realm="https://a.example/",error="invalid_token"',
);
const manifests = texts(
  JSON.stringify({ schemaVersion: 2, config: descriptor, layers: [descriptor] }),
  JSON.stringify({
    schemaVersion: 2,
    manifests: [{ ...descriptor, platform: { os: 'linux', architecture: 'arm', variant: 'v7' } }],
  }),
);
const bodies = [
  ...manifests,
  ...texts(
    '{"token":"abc","expires_in":300,"issued_at":"2026-01-01T00:00:00Z"}',
    '{"access_token":"abc"}',
    '{"errors":[{"code":"DENIED","message":"no"}]}',
    '{"error":"invalid_grant"}',
    '<html></html>',
  ),
];
const locations = texts(
  'https://store.example/object?x=y',
  '/v2/other',
  '//169.254.169.254/',
  'http://[::1]/',
);
const hostsFiles = texts(`
server = "https://a.example:5000"
[host."http://a.example:5000"]
 capabilities = ["pull", "resolve"]
 ca = ["a", "b"]
 client = [["a", "b"], "c"]
 skip_verify = true
 override_path = true
 [host."http://a.example:5000".header]
  x = ["y"]
`);
const registriesFiles = texts(`
unqualified-search-registries = ["a"]
[[registry]]
prefix = "*.example.com"
location = "b.example/c"
insecure = true
[[registry.mirror]]
location = "m.example"
`);
const proxies = texts(
  'http://us%40er:word@proxy.example:3128',
  '10.0.0.0/8,.a.example,b.example:443,[fd00::1]:80,*',
);
const wires = texts(
  'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}',
  'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
  'HTTP/1.0 401 Unauthorized\r\nwww-authenticate: Basic realm="a"\r\n\r\nno',
  'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n',
);

const answers = new Set([
  'granted',
  'unauthorized',
  'forbidden',
  'notFound',
  'forbiddenByPolicy',
  'unavailable',
]);
const statuses = [
  200, 200, 200, 401, 401, 401, 403, 404, 412, 451, 429, 302, 307, 400, 407, 500, 503, 204, 999,
];

function pick<T>(random: Random, list: readonly [T, ...T[]] | readonly T[], otherwise: T): T {
  return list[random.below(list.length)] ?? otherwise;
}

/** Half of the time as it should be. */
function text(random: Random, samples: readonly Buffer[]): string {
  const bytes =
    random.below(2) === 0 ? hostileBytes(random, samples) : pick(random, samples, Buffer.alloc(0));
  return bytes.toString('latin1');
}

function hostileAnswer(random: Random, url: URL): WireAnswer {
  const headers = new Map<string, string[]>();
  const maybe = (name: string, make: () => string): void => {
    if (random.below(3) > 0) headers.set(name, [make()]);
  };
  const status = pick(random, statuses, 200);
  if (status === 401) maybe('www-authenticate', () => text(random, challenges));
  if (status === 302 || status === 307) maybe('location', () => text(random, locations));
  if (random.below(8) === 0) maybe('docker-distribution-api-version', () => 'registry/2.0');
  if (random.below(8) === 0)
    maybe('retry-after', () => text(random, texts('7', 'Mon, 01 Jan 2001 00:00:00 GMT')));
  if (random.below(8) === 0) maybe('content-length', () => String(random.below(2 ** 25)));
  const body = Buffer.from(text(random, bodies), 'latin1');
  const breaks = random.below(8) === 0;
  return {
    url,
    status,
    header: (name) => headers.get(name)?.[0],
    headerValues: (name) => headers.get(name) ?? [],
    async *pieces() {
      yield body;
      if (breaks) throw new Outage('disconnected', url.host);
    },
    discard() {},
  };
}

/** No network: whatever is sent is answered by chance. */
function hostileTransport(random: Random): Transport {
  return {
    async send({ url }) {
      if (random.below(16) === 0) throw new Outage('tls', url.host);
      return hostileAnswer(random, url);
    },
    async close() {},
  };
}

/** Whole questions to a registry, a token server and object stores that answer anything. */
function questions(): FuzzTarget {
  const endpoints = createEndpoints({ runtime: 'containerd', folders: [], authoritativeMirrors: [] });
  return {
    name: 'questions',
    async run(random) {
      const authorization = createAuthorization(Date.now);
      const transport = hostileTransport(random);
      const client = clientOver({
        transport,
        authorization,
        endpoints,
        limits: defaultLimits,
        now: Date.now,
      });
      const login = { kind: 'password', username: 'user', password: 'word', key: 'key' } as const;
      const question = {
        registry: 'registry.example',
        repository: 'a/b',
        ...(random.below(2) === 0 && { login }),
      };
      for (let asked = 0; asked < 3; asked += 1) {
        const reference = random.below(2) === 0 ? digest : 'v1';
        const answer = await client.manifest({ ...question, reference });
        if (!answers.has(answer.answer)) throw new WrongAnswer(answer.answer);
        if (answer.answer === 'unavailable' && answer.seen === 'internal')
          throw new WrongAnswer(answer.message);
        if (answer.answer === 'granted' && reference === digest)
          throw new WrongAnswer('a grant of other bytes');
        if (answer.spent.requests > 20 || answer.spent.tokenRequests > 3)
          throw new WrongAnswer('too many requests');
      }
    },
  };
}

/**
 * Bytes on a connection, through the real transport; it follows nothing, so that nothing leaves the machine.
 */
function wire(host: string, replies: Buffer[]): FuzzTarget {
  const limits = { ...defaultLimits, headersMs: 500, idleMs: 500, connectMs: 500 };
  const transport = createTransport({ limits, proxyFor: () => undefined });
  const url = new URL(`http://${host}/v2/`);
  return {
    name: 'wire',
    async run(random) {
      replies.push(hostileBytes(random, wires));
      try {
        const signal = AbortSignal.timeout(900);
        const answer = await transport.send({
          method: 'GET',
          url,
          headers: {},
          tls: plainTls,
          reach: 'registry',
          signal,
        });
        await readBody(answer, 1_000);
      } catch (error) {
        if (!(error instanceof Outage) || error.seen === 'internal') throw error;
      } finally {
        replies.length = 0;
      }
    },
  };
}

async function hostileServer(replies: Buffer[]): Promise<{ server: Server; host: string }> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.end(replies.shift() ?? ''));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.unref();
  const address = server.address();
  return { server, host: `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}` };
}

function expectConfigurationError(step: () => void): void {
  try {
    step();
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
  }
}

/** The registry client, fed with noise and with changed answers, headers and files. */
export async function registryTargets(): Promise<FuzzTarget[]> {
  const replies: Buffer[] = [];
  const { host } = await hostileServer(replies);
  const url = new URL('https://a.example:5000/');
  const text8 = (random: Random, samples: readonly Buffer[]): string =>
    hostileBytes(random, samples).toString('utf8');
  return [
    {
      name: 'challenges',
      run: (random) => void parseChallenges(hostileBytes(random, challenges).toString('latin1')),
    },
    {
      name: 'manifest',
      run(random) {
        const manifest = parseManifest(hostileBytes(random, manifests));
        if (manifest?.kind === 'index') selectPlatform(manifest, { os: 'linux', architecture: 'arm64' });
      },
    },
    {
      name: 'hosts.toml',
      run: (random) =>
        expectConfigurationError(() => parseHostsFile(text8(random, hostsFiles), 'hosts.toml')),
    },
    {
      name: 'registries.conf',
      run: (random) =>
        expectConfigurationError(() =>
          findEntry(
            parseRegistriesConf(text8(random, registriesFiles), 'registries.conf'),
            'a.example.com/b',
          ),
        ),
    },
    {
      name: 'proxy',
      run: (random) =>
        void proxyFromEnvironment({ HTTPS_PROXY: text8(random, proxies), NO_PROXY: text8(random, proxies) })(
          url,
        ),
    },
    questions(),
    wire(host, replies),
  ];
}
