import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Keyring, type KeyringSecret, lookup, makeKeyring } from '../../agent/credentials/keyring.ts';
import { base64, configJsonSecret, dockercfgSecret } from './secrets.ts';

/** A config in which every key's username is the key itself. */
function keyed(...keys: string[]): unknown {
  return { auths: Object.fromEntries(keys.map((key) => [key, { username: key, password: 'p' }])) };
}

function usernames(keyring: Keyring, repository: string): string[] {
  return lookup(keyring, repository).map(({ credential }) => credential.username);
}

function offered(repository: string, ...keys: string[]): string[] {
  return usernames(makeKeyring([configJsonSecret(keyed(...keys))]), repository);
}

describe('which keys fit a repository', () => {
  it.each([
    ['the host', 'reg.io', 'reg.io/app', true],
    ['another host', 'reg.io', 'reg.com/app', false],
    ['a host in other letters: compared as it is written', 'REG.io', 'reg.io/app', false],
    ['a part of the host', 'reg.io', 'sub.reg.io/app', false],
    ['a scheme before it', 'https://reg.io', 'reg.io/app', true],
    ['http', 'http://reg.io', 'reg.io/app', true],
    ['a scheme in capitals, which is a host to kubelet', 'HTTPS://reg.io', 'reg.io/app', false],
    ['the old API version', 'https://reg.io/v1/', 'reg.io/app', true],
    ['the API version', 'reg.io/v2/', 'reg.io/app', true],
    ['an API version without the last slash, which is a path', 'reg.io/v2', 'reg.io/app', false],
    ['an API version and a path', 'https://reg.io/v2/team/', 'reg.io/team/app', true],
    ['a trailing slash', 'reg.io/', 'reg.io/app', true],
    ['a path', 'reg.io/team', 'reg.io/team/app', true],
    ['a path that only begins like it', 'reg.io/team', 'reg.io/team-b/app', true],
    ['a path with a slash', 'reg.io/team/', 'reg.io/team-b/app', false],
    ['a port', 'reg.io:5000', 'reg.io:5000/app', true],
    ['no port', 'reg.io', 'reg.io:5000/app', false],
    ['a needless port', 'reg.io:443', 'reg.io/app', false],
    ['an empty port', 'reg.io:', 'reg.io/app', true],
    ['a name before the host', 'user:pw@reg.io', 'reg.io/app', true],
    ['a wildcard for one label', '*.reg.io', 'a.reg.io/app', true],
    ['a wildcard, two labels', '*.reg.io', 'a.b.reg.io/app', false],
    ['a wildcard, no label', '*.reg.io', 'reg.io/app', false],
    ['a wildcard within a label', 'r*g.io', 'rolling.io/app', true],
    ['a wildcard for everything, one label', '*', 'localhost/app', true],
    ['a wildcard for everything, two labels', '*', 'reg.io/app', false],
    ['a wildcard with a port', '*.io:5000', 'reg.io:5000/app', true],
    ['a wildcard in the path: taken literally', 'reg.io/*', 'reg.io/app', false],
    ['a question mark, which begins a query', 'r?g.io', 'reg.io/app', false],
    [
      'an escaped question mark in the path, which is one when the key is read again',
      'reg.io/a%3Fb',
      'reg.io/app',
      true,
    ],
    ['a class, which is no IPv6 address', '[rq]eg.io', 'reg.io/app', false],
    ['IPv6 with a port', '[::1]:5000', '[::1]:5000/app', true],
    ['IPv6 without a port, which kubelet takes for a class of characters', '[::1]', '[::1]/app', false],
    ['a class by accident', '[a::A]', 'A/app', true],
    ['text before a bracket', 'reg[::1]:5000', '[::1]:5000/app', false],
    ['an encoded path', 'reg.io/%61pp', 'reg.io/app', true],
    ['an encoded host', '%72eg.io', 'reg.io/app', false],
    ['a bad escape', 'reg.io/%zz', 'reg.io/app', false],
    ['a space in the host', 'reg .io', 'reg.io/app', false],
    ['a control character', 'reg.io\n', 'reg.io/app', false],
    ['two ports', 'reg.io:1:2', 'reg.io/app', false],
    ['nothing', '', 'localhost/app', false],
  ])('%s: %s', (_, key, repository, fits) => {
    expect(offered(repository, key)).toEqual(fits ? [key] : []);
  });

  it('offers what stands under index.docker.io for images of the default registry', () => {
    for (const key of ['index.docker.io', 'https://index.docker.io/v1/']) {
      expect(offered('docker.io/library/busybox', key)).toEqual([key]);
      expect(offered('quay.io/org/app', key)).toEqual([]);
    }
  });

  it('takes a registry without dot or port for the default registry too, as kubelet does', () => {
    expect(offered('localhost/app', 'index.docker.io')).toEqual(['index.docker.io']);
    expect(offered('app', 'index.docker.io')).toEqual(['index.docker.io']);
    expect(offered('index.docker.io/app', 'index.docker.io')).toEqual(['index.docker.io']);
    expect(offered('localhost:5000/app', 'index.docker.io')).toEqual([]);
    expect(offered('/app', 'index.docker.io')).toEqual([]);
    expect(offered('', 'index.docker.io')).toEqual([]);
  });

  it('leaves index.docker.io out as soon as something else fits', () => {
    expect(offered('docker.io/org/app', 'index.docker.io', 'docker.io')).toEqual(['docker.io']);
    expect(offered('docker.io/org/app', 'index.docker.io', '*.io')).toEqual(['*.io']);
  });

  it('takes registry-1.docker.io for a registry like any other', () => {
    expect(offered('docker.io/org/app', 'registry-1.docker.io')).toEqual([]);
  });

  it('passes over a malformed key, and keeps the others of the same secret', () => {
    expect(offered('reg.io/app', 'bad host', 'reg.io')).toEqual(['reg.io']);
  });
});

describe('the order in which credentials are tried', () => {
  it('goes by the key downwards, so that longer paths come first', () => {
    const keys = ['*.io', 'reg.io/team', 'reg.io/team/app', 'reg.io'];
    expect(offered('reg.io/team/app', ...keys)).toEqual(['reg.io/team/app', 'reg.io/team', 'reg.io', '*.io']);
  });

  it('goes by bytes, not by what JavaScript sorts by', () => {
    // U+1F600 is after U+FF5E in UTF-8, and before it in UTF-16.
    expect(offered('\uff5e\u{1f600}.io/app', '*\uff5e*.io', '*\u{1f600}*.io')).toEqual([
      '*\u{1f600}*.io',
      '*\uff5e*.io',
    ]);
  });

  it('goes by the key before it goes by the secret', () => {
    const keyring = makeKeyring([
      configJsonSecret(keyed('reg.io'), 'first'),
      configJsonSecret(keyed('reg.io/team'), 'second'),
    ]);
    expect(usernames(keyring, 'reg.io/team/app')).toEqual(['reg.io/team', 'reg.io']);
  });

  it("goes by the pod's order of secrets under equal keys, and repeats what is there twice", () => {
    const same = { auths: { 'reg.io': { auth: base64('me:pw') } } };
    const keyring = makeKeyring([
      configJsonSecret(same, 'b'),
      dockercfgSecret({ 'https://reg.io/v2/': { auth: base64('you:pw') } }, 'c'),
      configJsonSecret(same, 'a'),
    ]);
    const found = lookup(keyring, 'reg.io/app');
    expect(found.map(({ secret, credential }) => [secret.name, credential.username])).toEqual([
      ['b', 'me'],
      ['c', 'you'],
      ['a', 'me'],
    ]);
    expect(found[0]?.credentialHash).toBe(found[2]?.credentialHash);
    expect(found[0]?.secret).toEqual({ namespace: 'team-a', name: 'b', uid: 'uid-b' });
  });
});

describe('secrets that hold no docker config', () => {
  it('are passed over when they are of another type, whatever is in them', () => {
    const secret = { ...configJsonSecret('{not json'), type: 'Opaque' };
    expect(lookup(makeKeyring([secret]), 'reg.io/app')).toEqual([]);
  });

  it.each(['kubernetes.io/dockerconfigjson', 'kubernetes.io/dockercfg'])(
    'are passed over when the key is missing or empty: %s',
    (type) => {
      const base: KeyringSecret = { ...configJsonSecret(''), type, data: new Map() };
      const empty = new Map([
        ['.dockerconfigjson', Buffer.alloc(0)],
        ['.dockercfg', Buffer.alloc(0)],
      ]);
      expect(lookup(makeKeyring([base, { ...base, data: empty }]), 'reg.io/app')).toEqual([]);
    },
  );

  it('make the whole keyring fail when one is malformed, and the error names it', () => {
    const secrets = [configJsonSecret(keyed('reg.io'), 'good'), configJsonSecret('{', 'broken')];
    expect(() => makeKeyring(secrets)).toThrow(
      expect.objectContaining({
        name: 'DockerConfigError',
        reason: 'notJson',
        message: 'secret team-a/broken: .dockerconfigjson is not JSON',
      }),
    );
  });
});

it('answers whatever the keys and the repository are', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc
      .array(
        fc.constantFrom(
          'reg',
          '.',
          '*',
          '?',
          '[',
          ']',
          '::1',
          ':',
          '5',
          '/',
          '%',
          '%25',
          '%C3',
          '@',
          '#',
          '^',
          '-',
        ),
      )
      .map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(fc.array(text, { maxLength: 5 }), text, (keys, repository) => {
      expect(Array.isArray(offered(repository, ...keys))).toBe(true);
    }),
    { numRuns: 1_000 },
  );
});

it('takes no notice of a host that no registry can have', () => {
  expect(offered(`${'a'.repeat(300)}/app`, '*')).toEqual([]);
});
