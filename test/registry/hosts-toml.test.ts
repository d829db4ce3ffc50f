import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { containerdEndpoints } from '../../agent/registry/endpoint/containerd.ts';
import { ConfigurationError, type Endpoint } from '../../agent/registry/endpoint/endpoint.ts';
import { createEndpoints } from '../../agent/registry/endpoint/endpoints.ts';
import { certificateFor } from './certificates.ts';
import { hostsFolder, temporaryFolder } from './scene.ts';

const short = ({ base, tls, fallback, namespace }: Endpoint): string =>
  [base.href, tls.skipVerify && 'unverified', fallback && 'fallback', namespace && `ns=${namespace}`]
    .filter(Boolean)
    .join(' ');

async function endpoints(
  files: Readonly<Record<string, string>>,
  registry: string,
  authoritativeMirrors: string[] = [],
): Promise<string[]> {
  const folders = [await hostsFolder(files)];
  return (await containerdEndpoints({ folders, authoritativeMirrors }, registry, 'team/app')).map(short);
}

describe('where containerd has a registry, without a word about it', () => {
  it.each<[string, string[]]>([
    ['registry.example', ['https://registry.example/v2']],
    ['registry.example:5000', ['https://registry.example:5000/v2']],
    ['docker.io', ['https://registry-1.docker.io/v2']],
    ['[fd00::1]:5000', ['https://[fd00::1]:5000/v2']],
    ['localhost', ['https://localhost/v2 unverified']],
    ['localhost:80', ['http://localhost:80/v2 unverified'.replace(':80', '')]],
    ['localhost:443', ['https://localhost/v2 unverified']],
    [
      'localhost:5000',
      ['https://localhost:5000/v2 unverified', 'http://localhost:5000/v2 unverified fallback'],
    ],
    [
      '127.0.0.1:5000',
      ['https://127.0.0.1:5000/v2 unverified', 'http://127.0.0.1:5000/v2 unverified fallback'],
    ],
    ['[::1]:5000', ['https://[::1]:5000/v2 unverified', 'http://[::1]:5000/v2 unverified fallback']],
  ])('%s', async (registry, expected) => {
    expect(await endpoints({}, registry)).toEqual(expected);
    expect(
      (await containerdEndpoints({ folders: [], authoritativeMirrors: [] }, registry, 'a')).map(short),
    ).toEqual(expected);
  });
});

describe('hosts.toml', () => {
  const registry = 'registry.example:5000';

  it.each<[string, string, string[]]>([
    ['server', 'server = "https://registry.example:5000"', ['https://registry.example:5000/v2']],
    [
      'server over plain HTTP',
      'server = "http://registry.example:5000"',
      ['http://registry.example:5000/v2'],
    ],
    ['server without a scheme', 'server = "registry.example:5000"', ['https://registry.example:5000/v2']],
    ['server with /v2', 'server = "https://registry.example:5000/v2"', ['https://registry.example:5000/v2']],
    [
      'server with /v2/',
      'server = "https://registry.example:5000/v2/"',
      ['https://registry.example:5000/v2'],
    ],
    [
      'server with a path',
      'server = "https://registry.example:5000/team"',
      ['https://registry.example:5000/team/v2'],
    ],
    [
      'server with a path that is whole',
      'server = "https://registry.example:5000/api"\noverride_path = true',
      ['https://registry.example:5000/api'],
    ],
    [
      'server without a path that is whole',
      'server = "https://registry.example:5000"\noverride_path = true',
      ['https://registry.example:5000/'],
    ],
    [
      'another server',
      'server = "https://cache.example"',
      ['https://cache.example/v2 ns=registry.example:5000'],
    ],
    ['no server', 'skip_verify = true', ['https://registry.example:5000/v2 unverified']],
    [
      'a mirror is none',
      '[host."https://mirror.example"]\n  capabilities = ["pull", "resolve"]',
      ['https://registry.example:5000/v2'],
    ],
    [
      'a mirror that comes before is none',
      'server = "https://registry.example:5000"\n[host."http://mirror.example"]',
      ['https://registry.example:5000/v2'],
    ],
    [
      'a host that is the registry itself, as k3s writes it',
      'server = "https://registry.example:5000"\n[host."http://registry.example:5000"]\n capabilities = ["pull", "resolve"]',
      ['http://registry.example:5000/v2', 'https://registry.example:5000/v2'],
    ],
    [
      'a host that is the registry itself gives its settings',
      'server = "https://registry.example:5000"\n[host."https://registry.example:5000"]\n skip_verify = true',
      ['https://registry.example:5000/v2 unverified'],
    ],
    [
      'a host that cannot resolve is passed over',
      '[host."http://registry.example:5000"]\n capabilities = ["push"]',
      ['https://registry.example:5000/v2'],
    ],
    [
      'capabilities in any case',
      'server = "https://registry.example:5000"\ncapabilities = ["PULL", "Resolve", "referrers"]',
      ['https://registry.example:5000/v2'],
    ],
    [
      'plain HTTP with TLS settings: TLS first',
      'server = "http://registry.example:5000"\nskip_verify = true',
      ['https://registry.example:5000/v2 unverified', 'http://registry.example:5000/v2 unverified fallback'],
    ],
    [
      'plain HTTP on its own port with TLS settings',
      'server = "http://registry.example"\nskip_verify = true',
      ['http://registry.example/v2 unverified ns=registry.example:5000'],
    ],
    ['an empty file', '', ['https://registry.example:5000/v2']],
    ['a comment', '# nothing', ['https://registry.example:5000/v2']],
    [
      'what nobody knows',
      'future = [1, 2]\n[host."https://m.example"]\n  later = true',
      ['https://registry.example:5000/v2'],
    ],
  ])('%s', async (_, toml, expected) => {
    expect(await endpoints({ [registry]: toml }, registry)).toEqual(expected);
  });

  it.each<[string, string, string]>([
    ['no TOML', 'server = ', 'notToml'],
    ['a nesting without end', `a = ${'['.repeat(100_000)}`, 'notToml'],
    ['a server that is a number', 'server = 1', 'wrongType'],
    ['a server that is no URL', 'server = "https://"', 'invalidServer'],
    ['a server with a query', 'server = "https://a.example?x=y"', 'invalidServer'],
    ['a server with a login', 'server = "https://user:word@a.example"', 'invalidServer'],
    ['hosts that are no table', 'host = 1', 'wrongType'],
    ['a host that is no table', '[host]\n"https://a.example" = 1', 'wrongType'],
    ['a capability that nobody knows', 'capabilities = ["fly"]', 'wrongType'],
    ['a ca that is a number', 'ca = 1', 'wrongType'],
    ['a ca with a number in it', 'ca = ["a", 1]', 'wrongType'],
    ['a client of three', 'client = [["a", "b", "c"]]', 'wrongType'],
    ['a client that is a number', 'client = 1', 'wrongType'],
    ['skip_verify in words', 'skip_verify = "yes"', 'wrongType'],
    ['a header that is a number', '[header]\nx = 1', 'wrongType'],
    ['a ca that is not there', 'ca = "nowhere.crt"', 'unreadable'],
    [
      'a server that must not be pulled from',
      'server = "https://registry.example:5000"\ncapabilities = ["push"]',
      'noServer',
    ],
    [
      "k3s' rewrites of the registry itself",
      '[host."https://registry.example:5000".rewrite]\n"^(.*)$" = "team/$1"',
      'rewriteNotSupported',
    ],
  ])('%s is one clear problem', async (_, toml, problem) => {
    const failing = endpoints({ [registry]: toml }, registry);
    await expect(failing).rejects.toBeInstanceOf(ConfigurationError);
    await expect(failing).rejects.toMatchObject({ problem, file: expect.stringContaining(registry) });
  });

  it('is found under HOST_PORT_, then HOST:PORT, then _default', async () => {
    const server = (name: string): string => `server = "https://${name}.example"`;
    const files = {
      'registry.example_5000_': server('underscored'),
      [registry]: server('plain'),
      _default: server('default'),
    };
    expect(await endpoints(files, registry)).toEqual([`https://underscored.example/v2 ns=${registry}`]);
    const { 'registry.example_5000_': _, ...rest } = files;
    expect(await endpoints(rest, registry)).toEqual([`https://plain.example/v2 ns=${registry}`]);
    expect(await endpoints({ _default: files._default }, registry)).toEqual([
      `https://default.example/v2 ns=${registry}`,
    ]);
  });

  it('is found in the first folder that has one', async () => {
    const folders = [
      await hostsFolder({}),
      await hostsFolder({ [registry]: 'server = "https://second.example"' }),
    ];
    const found = await containerdEndpoints({ folders, authoritativeMirrors: [] }, registry, 'a');
    expect(found.map(short)).toEqual([`https://second.example/v2 ns=${registry}`]);
  });

  it('with mirrors of authority is asked at those first', async () => {
    const toml =
      'server = "https://registry.example:5000"\n[host."https://one.example"]\n[host."https://two.example:5000"]\n[host."https://three.example"]\n';
    expect(
      await endpoints({ [registry]: toml }, registry, ['two.example:5000', 'three.example', 'other.example']),
    ).toEqual([
      `https://two.example:5000/v2 ns=${registry}`,
      `https://three.example/v2 ns=${registry}`,
      'https://registry.example:5000/v2',
    ]);
  });

  it('gives headers, but none that log in: the right is the pod’s own', async () => {
    const toml =
      '[header]\nX-Gateway = ["a", "b"]\nauthorization = "Basic abc"\nCookie = "c"\nProxy-Authorization = "d"\nhost = "e"\n';
    const folders = [await hostsFolder({ [registry]: toml })];
    const [endpoint] = await containerdEndpoints({ folders, authoritativeMirrors: [] }, registry, 'a');
    expect(endpoint?.headers).toEqual({ 'x-gateway': ['a', 'b'] });
  });

  it('without one, the certificates in its folder count as Docker lays them out', async () => {
    const folder = await temporaryFolder();
    const place = join(folder, registry);
    await mkdir(place);
    const { certificate, key } = await certificateFor(place, 'ca', ['DNS:a.test']);
    await writeFile(join(place, 'client.cert'), certificate);
    await writeFile(join(place, 'client.key'), key);
    const [endpoint] = await containerdEndpoints(
      { folders: [folder], authoritativeMirrors: [] },
      registry,
      'a',
    );
    expect(endpoint?.tls).toEqual({ ca: [certificate], client: [{ certificate, key }], skipVerify: false });
  });
});

describe('a configuration that changes', () => {
  it('is read again after a second, and a broken one is a problem until it is mended', async () => {
    const registry = 'registry.example';
    const folder = await hostsFolder({ [registry]: 'server = "https://one.example"' });
    const file = join(folder, registry, 'hosts.toml');
    const source = createEndpoints({ runtime: 'containerd', folders: [folder], authoritativeMirrors: [] });
    const first = async (): Promise<string | undefined> => (await source.find(registry, 'a'))[0]?.base.host;
    const eventually = { timeout: 5_000, interval: 100 };
    expect(await first()).toBe('one.example');
    await writeFile(file, 'server = ');
    await expect
      .poll(() => first().catch((error: ConfigurationError) => error.problem), eventually)
      .toBe('notToml');
    await writeFile(file, 'server = "https://two.example"');
    await expect.poll(() => first().catch(() => 'broken'), eventually).toBe('two.example');
    await rm(file);
    await expect.poll(first, eventually).toBe(registry);
  });

  it('is read once for all who ask at the same time', async () => {
    const source = createEndpoints({
      runtime: 'containerd',
      folders: [await hostsFolder({})],
      authoritativeMirrors: [],
    });
    const [one, other] = await Promise.all([source.find('a.example', 'a'), source.find('a.example', 'a')]);
    expect(one).toBe(other);
  });
});
