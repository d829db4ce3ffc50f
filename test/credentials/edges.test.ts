import { describe, expect, it } from 'vitest';
import { globMatches, parseGlob } from '../../agent/credentials/glob.ts';
import { credentialHashes, lookup, makeKeyring } from '../../agent/credentials/keyring.ts';

function matches(pattern: string, name: string): boolean | undefined {
  const glob = parseGlob(pattern);
  return glob && globMatches(glob, name);
}

function keyringOf(...hosts: string[]) {
  const auths = Object.fromEntries(hosts.map((host) => [host, { username: host, password: 'x' }]));
  const data = new Map([['.dockerconfigjson', Buffer.from(JSON.stringify({ auths }))]]);
  const type = 'kubernetes.io/dockerconfigjson';
  return makeKeyring([{ namespace: 'a', name: 's', uid: 'u', type, data }]);
}

function usersFor(repository: string, ...hosts: string[]): string[] {
  return lookup(keyringOf(...hosts), repository).map(({ credential }) => credential.username);
}

describe('a label of a host pattern', () => {
  it.each([
    ['[b-d]', 'a', false],
    ['[b-d]', 'b', true],
    ['[b-d]', 'd', true],
    ['[b-d]', 'e', false],
    ['[^b-d]', 'c', false],
    ['[^b-d]', 'e', true],
    ['[^b]', '^', true],
    ['x[^b]', 'xb', false],
  ])('%s against %s: %s', (pattern, name, expected) => {
    expect(matches(pattern, name)).toBe(expected);
  });

  it.each(['[', '[]', '[a', '[a-', '[a-]', '[^]'])('is none: %s', (pattern) => {
    expect(parseGlob(pattern)).toBeUndefined();
  });
});

describe('a key of a docker config', () => {
  it('that is no pattern is passed over, the others count', () => {
    expect(usersFor('reg.example/app', 're[g.example', 'reg.example')).toEqual(['reg.example']);
  });

  it('loses v1 and v2 only at the beginning of its path', () => {
    expect(usersFor('reg.example/team/v1/app', 'reg.example/team/v1/app')).toEqual([
      'reg.example/team/v1/app',
    ]);
    expect(usersFor('reg.example/app', 'reg.example/team/v1/')).toEqual([]);
  });

  it('loses a scheme only at its beginning', () => {
    expect(usersFor('reg.example/a', 'https://reg.example/a')).toEqual(['https://reg.example/a']);
    expect(usersFor('reg.example/a', 'reg.example/https://a')).toEqual([]);
  });
});

describe('the hashes of a keyring', () => {
  it('are those of all its credentials, each once', () => {
    const keyring = keyringOf('reg.example', 'index.docker.io');
    const offered = ['reg.example/a', 'docker.io/library/a'].flatMap((repository) =>
      lookup(keyring, repository).map(({ credentialHash }) => credentialHash),
    );
    expect(offered).toHaveLength(2);
    expect([...credentialHashes(keyring)].sort()).toEqual(offered.sort());
  });
});
