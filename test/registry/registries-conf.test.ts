import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { crioEndpoints } from '../../agent/registry/endpoint/crio.ts';
import { ConfigurationError, type Endpoint } from '../../agent/registry/endpoint/endpoint.ts';
import { certificateFor } from './certificates.ts';
import { temporaryFolder } from './scene.ts';

const short = ({ base, repository, tls, fallback }: Endpoint): string =>
  [`${base.href}/${repository}`, tls.skipVerify && 'unverified', fallback && 'fallback']
    .filter(Boolean)
    .join(' ');

type Files = { main?: string; dropIns?: Readonly<Record<string, string>>; authoritativeMirrors?: string[] };

async function endpoints(
  { main, dropIns = {}, authoritativeMirrors = [] }: Files,
  name: string,
): Promise<string[]> {
  const file = join(await temporaryFolder(), 'registries.conf');
  if (main !== undefined) await writeFile(file, main);
  await mkdir(`${file}.d`);
  for (const [dropIn, text] of Object.entries(dropIns)) await writeFile(join(`${file}.d`, dropIn), text);
  const slash = name.indexOf('/');
  const configuration = { file, certificateFolders: [], authoritativeMirrors };
  return (await crioEndpoints(configuration, name.slice(0, slash), name.slice(slash + 1))).map(short);
}

const entry = (...lines: string[]): string => `[[registry]]\n${lines.join('\n')}\n`;

describe('where CRI-O has a registry (registries.conf, version 2)', () => {
  it.each<[string, string | undefined, string, string[]]>([
    ['no file', undefined, 'registry.example/team/app', ['https://registry.example/v2/team/app']],
    ['an empty file', '', 'registry.example:5000/app', ['https://registry.example:5000/v2/app']],
    ['Docker Hub', '', 'docker.io/library/app', ['https://registry-1.docker.io/v2/library/app']],
    [
      'search registries alone',
      'unqualified-search-registries = ["docker.io"]',
      'a.example/app',
      ['https://a.example/v2/app'],
    ],
    [
      'an insecure one',
      entry('location = "a.example"', 'insecure = true'),
      'a.example/app',
      ['https://a.example/v2/app unverified', 'http://a.example/v2/app unverified fallback'],
    ],
    [
      'an insecure one does not make others so',
      entry('location = "a.example"', 'insecure = true'),
      'b.example/app',
      ['https://b.example/v2/app'],
    ],
    [
      'a location',
      entry('prefix = "a.example"', 'location = "b.example:5000"'),
      'a.example/team/app',
      ['https://b.example:5000/v2/team/app'],
    ],
    [
      'a location with a path',
      entry('prefix = "a.example/team"', 'location = "b.example/x/y"'),
      'a.example/team/app',
      ['https://b.example/v2/x/y/app'],
    ],
    [
      'a prefix that is the whole repository',
      entry('prefix = "a.example/team/app"', 'location = "b.example/other"'),
      'a.example/team/app',
      ['https://b.example/v2/other'],
    ],
    [
      'a prefix ends at a boundary',
      entry('prefix = "a.example/team"', 'location = "b.example"'),
      'a.example/teamwork/app',
      ['https://a.example/v2/teamwork/app'],
    ],
    [
      'the longest prefix',
      `${entry('prefix = "a.example"', 'location = "b.example"')}${entry('prefix = "a.example/team"', 'location = "c.example"')}`,
      'a.example/team/app',
      ['https://c.example/v2/app'],
    ],
    [
      'of the same prefix the first',
      `${entry('prefix = "a.example"', 'location = "b.example"')}${entry('prefix = "a.example"', 'location = "c.example"')}`,
      'a.example/app',
      ['https://b.example/v2/app'],
    ],
    [
      'a slash at the end',
      entry('prefix = "a.example/"', 'location = "b.example/x/"'),
      'a.example/app',
      ['https://b.example/v2/x/app'],
    ],
    [
      'a wildcard',
      entry('prefix = "*.example.com"', 'insecure = true'),
      'a.b.example.com/app',
      ['https://a.b.example.com/v2/app unverified', 'http://a.b.example.com/v2/app unverified fallback'],
    ],
    [
      'a wildcard with a location',
      entry('prefix = "*.example.com"', 'location = "b.example/all"'),
      'a.example.com/app',
      ['https://b.example/v2/all/app'],
    ],
    [
      'a wildcard does not cover its own domain',
      entry('prefix = "*.example.com"', 'insecure = true'),
      'example.com/app',
      ['https://example.com/v2/app'],
    ],
    [
      'a wildcard does not look into the path',
      entry('prefix = "*.example.com"', 'insecure = true'),
      'a.example/x.example.com/app',
      ['https://a.example/v2/x.example.com/app'],
    ],
    [
      'a wildcard covers a port',
      entry('prefix = "*.example.com"', 'insecure = true'),
      'a.example.com:5000/app',
      [
        'https://a.example.com:5000/v2/app unverified',
        'http://a.example.com:5000/v2/app unverified fallback',
      ],
    ],
    [
      'mirrors are none',
      `${entry('location = "a.example"')}[[registry.mirror]]\nlocation = "m.example"\ninsecure = true\n`,
      'a.example/app',
      ['https://a.example/v2/app'],
    ],
  ])('%s', async (_, main, name, expected) => {
    expect(await endpoints(main === undefined ? {} : { main }, name)).toEqual(expected);
  });

  it.each<[string, string, string]>([
    ['no TOML', '[[registry', 'notToml'],
    ['version 1', '[registries.search]\nregistries = ["docker.io"]', 'version1'],
    ['an entry without anything', '[[registry]]', 'invalidPrefix'],
    ['a prefix without a location', entry('prefix = "a.example"'), 'invalidPrefix'],
    ['a location with a scheme', entry('location = "https://a.example"'), 'invalidPrefix'],
    ['a wildcard with a path', entry('prefix = "*.example.com/team"'), 'invalidPrefix'],
    ['a location that is a number', entry('location = 1'), 'wrongType'],
    ['insecure in words', entry('location = "a.example"', 'insecure = "yes"'), 'wrongType'],
    ['entries that are no list', 'registry = 1', 'wrongType'],
    ['a mirror that is no table', entry('location = "a.example"', 'mirror = ["m"]'), 'wrongType'],
    ['a blocked one', entry('location = "a.example"', 'blocked = true'), 'blocked'],
    [
      'a location that leaves no repository',
      entry('prefix = "a.example/app"', 'location = "b.example"'),
      'invalidServer',
    ],
  ])('%s is one clear problem', async (_, main, problem) => {
    const failing = endpoints({ main }, 'a.example/app');
    await expect(failing).rejects.toBeInstanceOf(ConfigurationError);
    await expect(failing).rejects.toMatchObject({ problem });
  });

  it('drop-ins replace entries with the same prefix, in the order of their names', async () => {
    const to = (host: string): string => entry('prefix = "a.example"', `location = "${host}"`);
    const dropIns = {
      '20-b.conf': to('second.example'),
      '10-a.conf': to('first.example'),
      'ignored.txt': 'no toml',
    };
    expect(await endpoints({ main: to('main.example'), dropIns }, 'a.example/app')).toEqual([
      'https://second.example/v2/app',
    ]);
  });

  it('a broken drop-in is a problem', async () => {
    await expect(
      endpoints({ main: '', dropIns: { 'a.conf': 'no toml' } }, 'a.example/app'),
    ).rejects.toMatchObject({ problem: 'notToml' });
  });

  it('mirrors of authority are asked first', async () => {
    const main = `${entry('location = "a.example/team"')}[[registry.mirror]]\nlocation = "m.example:5000/cache"\n[[registry.mirror]]\nlocation = "n.example"\n`;
    expect(await endpoints({ main, authoritativeMirrors: ['m.example:5000'] }, 'a.example/team/app')).toEqual(
      ['https://m.example:5000/v2/cache/app', 'https://a.example/v2/team/app'],
    );
  });

  it('certificates are those in the first folder for the host', async () => {
    const [first, second] = [await temporaryFolder(), await temporaryFolder()];
    await mkdir(join(second, 'a.example:5000'));
    const { certificate } = await certificateFor(join(second, 'a.example:5000'), 'ca', ['DNS:a.example']);
    const configuration = {
      file: join(first, 'registries.conf'),
      certificateFolders: [first, second],
      authoritativeMirrors: [],
    };
    const [endpoint] = await crioEndpoints(configuration, 'a.example:5000', 'app');
    expect(endpoint?.tls).toEqual({ ca: [certificate], client: [], skipVerify: false });
  });
});
