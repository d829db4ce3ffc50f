import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseDockerConfig } from '../../agent/credentials/docker-config.ts';
import { DockerConfigError } from '../../agent/errors.ts';
import { base64, configJsonSecret, dockercfgSecret } from './secrets.ts';

function entriesOf(config: unknown): unknown[] {
  return parseDockerConfig(configJsonSecret(config)).map(({ registry, credential }) => ({
    registry,
    ...credential,
  }));
}

function entry(text: string): unknown {
  return entriesOf(`{"auths":{"reg.io":${text}}}`)[0];
}

const fails = (reason: string): unknown => expect.objectContaining({ name: 'DockerConfigError', reason });

describe('what an entry logs in with', () => {
  it.each([
    ['username and password', '{"username":"u","password":"p","email":"e"}', ['u', 'p', 'e']],
    ['auth, which wins', `{"username":"x","password":"y","auth":"${base64('u:p')}"}`, ['u', 'p', '']],
    ['an empty auth, which does not', '{"username":"u","password":"p","auth":""}', ['u', 'p', '']],
    ['an auth that is null', '{"username":"u","password":"p","auth":null}', ['u', 'p', '']],
    ['a password with colons', `{"auth":"${base64('u:p:w')}"}`, ['u', 'p:w', '']],
    ['an empty password', '{"auth":"dTo="}', ['u', '', '']],
    ['auth without padding', '{"auth":"dTpwdw"}', ['u', 'pw', '']],
    ['auth with padding', '{"auth":"dTpwdw=="}', ['u', 'pw', '']],
    ['auth with line breaks', '{"auth":"dTpw\\r\\ndw==\\n"}', ['u', 'pw', '']],
    ['auth with bits left over', '{"auth":"dTpwdx=="}', ['u', 'pw', '']],
    ['field names in any case', '{"USERNAME":"u","passWord":"p"}', ['u', 'p', '']],
    [
      'the long s and the Kelvin sign, which Go folds',
      '{"pa\u017fsword":"p","\u017fUSERNAME":"x"}',
      ['', 'p', ''],
    ],
    ['the later of two fields', '{"username":"a","Username":"u","username":null}', ['u', '', '']],
    ['unknown fields passed over', '{"identitytoken":{"a":[1]},"username":"u"}', ['u', '', '']],
    ['nothing', '{}', ['', '', '']],
    ['null', 'null', ['', '', '']],
    ['a lone surrogate', '{"username":"\\ud800x"}', ['\ufffdx', '', '']],
  ])('%s', (_, text, [username, password, email]) => {
    expect(entry(text)).toEqual({ registry: 'reg.io', username, password, email });
  });

  it('is bytes in auth, of which those that are not UTF-8 become U+FFFD one by one', () => {
    const auth = Buffer.from([0x75, 0x3a, 0xe2, 0x82, 0xff]).toString('base64');
    expect(entry(`{"auth":"${auth}"}`)).toMatchObject({ password: '\ufffd\ufffd\ufffd' });
  });

  it('hashes those bytes otherwise than a U+FFFD that was written there', () => {
    const hashOf = (password: Buffer): string | undefined => {
      const auth = Buffer.concat([Buffer.from('u:'), password]).toString('base64');
      return parseDockerConfig(configJsonSecret({ auths: { r: { auth } } }))[0]?.credentialHash;
    };
    expect(hashOf(Buffer.from([0xff]))).not.toBe(hashOf(Buffer.from('\ufffd')));
  });
});

describe('which entries a config has', () => {
  it('of dockerconfigjson those under auths, of dockercfg all', () => {
    const config = { 'reg.io': { username: 'u' } };
    expect(entriesOf({ auths: config, credsStore: 'desktop' })).toHaveLength(1);
    expect(parseDockerConfig(dockercfgSecret(config))).toHaveLength(1);
    expect(entriesOf(config)).toEqual([]);
  });

  it.each([
    'null',
    '{}',
    '{"auths":null}',
    '{"auths":{}}',
    ' {"auths" : { } }\n',
    '{"HttpHeaders":{"a":null}}',
  ])('none in %s', (text) => {
    expect(entriesOf(text)).toEqual([]);
  });

  it('keeps the later of two entries under one key', () => {
    expect(entriesOf('{"auths":{"r":{"username":"a","password":"x"},"r":{"username":"b"}}}')).toEqual([
      { registry: 'r', username: 'b', password: '', email: '' },
    ]);
  });

  it('merges auths that stands twice, and empties it at null, as Go does with a map', () => {
    const twice = '{"auths":{"a":{}},"Auths":{"b":{}}}';
    expect(entriesOf(twice)).toMatchObject([{ registry: 'a' }, { registry: 'b' }]);
    expect(entriesOf('{"auths":{"a":{}},"AUTHS":null}')).toEqual([]);
    expect(entriesOf('{"auths":{"a":{}},"auths":{"b":{}}}')).toHaveLength(2);
  });

  it('checks an entry even where a later one replaces it', () => {
    expect(() => entriesOf('{"auths":{"r":{"auth":"!"},"r":{}}}')).toThrow(fails('authNotBase64'));
  });

  it.each(['__proto__', 'constructor', 'toString'])('has no special name: %s', (name) => {
    expect(entriesOf(`{"auths":{"${name}":{"username":"u","${name}":{"password":"p"}}}}`)).toEqual([
      { registry: name, username: 'u', password: '', email: '' },
    ]);
    expect(entriesOf(`{"${name}":{"auths":{"r":{}}}}`)).toEqual([]);
    expect(Object.hasOwn(Object.prototype, 'password')).toBe(false);
  });

  it('reads names and values with quotes, braces and escapes in them', () => {
    const username = '","auths":{}}\\" \t☃';
    expect(entriesOf({ x: ['{"', { '}': ']' }], auths: { 'r"{': { username } } })).toEqual([
      { registry: 'r"{', username, password: '', email: '' },
    ]);
  });
});

describe('a secret that is malformed', () => {
  it.each([
    ['{not json', 'notJson'],
    ['{"auths":{}', 'notJson'],
    ['{"auths":{}}x', 'notJson'],
    ['\ufeff{}', 'notJson'],
    [' ', 'notJson'],
    ['[]', 'wrongType'],
    ['"x"', 'wrongType'],
    ['{"auths":[]}', 'wrongType'],
    ['{"auths":{"r":"x"}}', 'wrongType'],
    ['{"auths":{"r":[]}}', 'wrongType'],
    ['{"auths":{"r":{"username":1}}}', 'wrongType'],
    ['{"auths":{"r":{"password":{}}}}', 'wrongType'],
    ['{"auths":{"r":{"AUTH":true}}}', 'wrongType'],
    ['{"HttpHeaders":{"a":1}}', 'wrongType'],
    ['{"httpheaders":[]}', 'wrongType'],
    ['{"auths":{"r":{"auth":"!!!"}}}', 'authNotBase64'],
    ['{"auths":{"r":{"auth":"dTpwdw="}}}', 'authNotBase64'],
    ['{"auths":{"r":{"auth":"dTpwdw==="}}}', 'authNotBase64'],
    ['{"auths":{"r":{"auth":" dTpwdw"}}}', 'authNotBase64'],
    ['{"auths":{"r":{"auth":"dTpw-_"}}}', 'authNotBase64'],
    ['{"auths":{"r":{"auth":"dTpwd"}}}', 'authNotBase64'],
    ['{"auths":{"r":{"auth":"="}}}', 'authNotBase64'],
    ['{"auths":{"r":{"auth":"\\n"}}}', 'authWithoutColon'],
    ['{"auths":{"r":{"auth":"bm9jb2xvbg=="}}}', 'authWithoutColon'],
  ])('%s: %s', (text, reason) => {
    expect(() => entriesOf(text)).toThrow(fails(reason));
  });

  it('is one that is larger than a Secret can be', () => {
    const padding = ' '.repeat(1_048_576 - '{}'.length);
    expect(entriesOf(`{}${padding}`)).toEqual([]);
    expect(() => entriesOf(`{} ${padding}`)).toThrow(fails('tooLarge'));
    expect(() => entriesOf('x'.repeat(2 * 1_048_576))).toThrow(fails('tooLarge'));
  });

  it('is one that is nested deeper than Go goes', () => {
    const nested = (depth: number): string => `{"x":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`;
    expect(entriesOf(nested(10_000))).toEqual([]);
    expect(() => entriesOf(nested(10_001))).toThrow(fails('notJson'));
    expect(() => entriesOf(nested(500_000))).toThrow(fails('notJson'));
    expect(() => entriesOf('['.repeat(1_000_000))).toThrow(fails('notJson'));
  });

  it('is told by a DockerConfigError that shows nothing of what it holds', () => {
    const MARK = 'S3cr3t';
    const text = fc.constantFrom(
      ...[MARK, base64(MARK), base64(`${MARK}:${MARK}`), `!${MARK}`, `${base64(MARK)}=`],
    );
    const value = fc.oneof(text, fc.constantFrom(null, 1), fc.array(text), fc.dictionary(text, text));
    const field = fc.constantFrom('username', 'password', 'auth', 'Auth', MARK);
    const config = fc.record({
      auths: fc.oneof(fc.dictionary(text, fc.oneof(value, fc.dictionary(field, value))), value),
      HttpHeaders: fc.oneof(fc.constant({}), fc.dictionary(text, value)),
    });
    const cut = fc.oneof(fc.constant(Number.POSITIVE_INFINITY), fc.nat({ max: 60 }));
    const whole = Number.POSITIVE_INFINITY;
    const withAuth = (auth: string) => ({ auths: { [MARK]: { auth } }, HttpHeaders: {} });
    const ONE_OF_EACH_REASON: [{ auths: unknown; HttpHeaders: unknown }, number, boolean][] = [
      [{ auths: {}, HttpHeaders: {} }, 5, false],
      [{ auths: MARK, HttpHeaders: {} }, whole, false],
      [withAuth(`!${MARK}`), whole, false],
      [withAuth(base64(MARK)), whole, false],
    ];
    const reasons = new Set<string>();
    fc.assert(
      fc.property(config, cut, fc.boolean(), (written, length, old) => {
        const json = JSON.stringify(old ? written.auths : written).slice(0, length);
        try {
          parseDockerConfig(old ? dockercfgSecret(json) : configJsonSecret(json));
        } catch (error) {
          expect(error).toBeInstanceOf(DockerConfigError);
          if (error instanceof DockerConfigError) reasons.add(error.reason);
          const shown = `${inspect(error, { depth: 9, showHidden: true })} ${JSON.stringify(error)}`;
          expect(shown).not.toContain(MARK);
          expect(shown).not.toContain(base64(MARK).slice(0, 8));
        }
      }),
      { numRuns: 2_000, examples: ONE_OF_EACH_REASON },
    );
    expect(reasons).toEqual(new Set(['notJson', 'wrongType', 'authNotBase64', 'authWithoutColon']));
  });

  it('throws nothing else, whatever the bytes', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array)),
      fc.json().map((json) => Buffer.from(json)),
      fc.json().map((json) => Buffer.from(`{"auths":${json}}`)),
    );
    fc.assert(
      fc.property(bytes, (data) => {
        try {
          parseDockerConfig({ ...configJsonSecret(''), data: new Map([['.dockerconfigjson', data]]) });
        } catch (error) {
          expect(error).toBeInstanceOf(DockerConfigError);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('a docker config with thousands of entries', () => {
  const auths = (from: number, count: number): string =>
    `"auths":{${Array.from({ length: count }, (_, n) => `"r${from + n}":{}`).join(',')}}`;

  it('is counted over all its merges, also those that null has emptied', () => {
    expect(parseDockerConfig(configJsonSecret(`{${auths(0, 1_000)},${auths(1_000, 1_000)}}`))).toHaveLength(
      2_000,
    );
    for (const config of [
      `{${auths(0, 1_000)},${auths(1_000, 1_001)}}`,
      `{${auths(0, 1_000)},"auths":null,${auths(0, 1_001)}}`,
      `{${Array.from({ length: 100 }, (_, n) => auths(n * 1_000, 1_000)).join(',')}}`,
    ])
      expect(() => parseDockerConfig(configJsonSecret(config))).toThrow(
        expect.objectContaining({ reason: 'tooLarge' }),
      );
  });

  it('is as large with thousands of fields', () => {
    const fields = (count: number): string => Array.from({ length: count }, () => '"x":0').join(',');
    expect(parseDockerConfig(configJsonSecret(`{"auths":{"r":{${fields(1_000)}}}}`))).toHaveLength(1);
    for (const config of [`{"auths":{"r":{${fields(30_000)}}}}`, `{${fields(30_000)}}`])
      expect(() => parseDockerConfig(configJsonSecret(config))).toThrow(
        expect.objectContaining({ reason: 'tooLarge' }),
      );
  });

  it('is refused before anybody computes with it', () => {
    const auths = Object.fromEntries(Array.from({ length: 2_001 }, (_, n) => [`reg-${n}.example.com`, {}]));
    const data = new Map([['.dockerconfigjson', Buffer.from(JSON.stringify({ auths }))]]);
    expect(() => parseDockerConfig({ type: 'kubernetes.io/dockerconfigjson', data })).toThrow(
      expect.objectContaining({ reason: 'tooLarge' }),
    );
  });
});
