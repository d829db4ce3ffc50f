import { describe, expect, it } from 'vitest';
import { parseChallenges } from '../../agent/registry/challenge.ts';

const read = (header: string | string[]): unknown =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

describe('challenges (RFC 9110, section 11.6.1)', () => {
  it.each<[string, string | string[], unknown]>([
    [
      'of Docker Hub',
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull"',
      [
        [
          'bearer',
          {
            realm: 'https://auth.docker.io/token',
            service: 'registry.docker.io',
            scope: 'repository:a/b:pull',
          },
        ],
      ],
    ],
    ['a scheme alone', 'Basic', [['basic', {}]]],
    ['without quotes', 'Basic realm=lab', [['basic', { realm: 'lab' }]]],
    [
      'in capitals and with spaces around',
      'BASIC  REALM = "lab" , Charset="UTF-8"',
      [['basic', { realm: 'lab', charset: 'UTF-8' }]],
    ],
    [
      'several in one header',
      'Basic realm="a", Bearer realm="b",service="c"',
      [
        ['basic', { realm: 'a' }],
        ['bearer', { realm: 'b', service: 'c' }],
      ],
    ],
    [
      'several headers',
      ['Negotiate', 'Basic realm="a"'],
      [
        ['negotiate', {}],
        ['basic', { realm: 'a' }],
      ],
    ],
    [
      'schemes alone in one header',
      'Negotiate, NTLM, Basic realm="a"',
      [
        ['negotiate', {}],
        ['ntlm', {}],
        ['basic', { realm: 'a' }],
      ],
    ],
    [
      'a token68',
      'Negotiate YIIab+/09==, Basic realm="a"',
      [
        ['negotiate', {}],
        ['basic', { realm: 'a' }],
      ],
    ],
    [
      'a comma in quotes',
      'Bearer scope="repository:a:pull,push",realm="r"',
      [['bearer', { scope: 'repository:a:pull,push', realm: 'r' }]],
    ],
    [
      'escapes in quotes',
      String.raw`Basic realm="say \"hi\" \\ there"`,
      [['basic', { realm: String.raw`say "hi" \ there` }]],
    ],
    ['a scheme in quotes', 'Basic realm="Bearer realm=evil"', [['basic', { realm: 'Bearer realm=evil' }]]],
    ['empty members', ', ,Basic realm="a",, ,error="x",', [['basic', { realm: 'a', error: 'x' }]]],
    ['a parameter twice: the first counts', 'Bearer realm="a",realm="b"', [['bearer', { realm: 'a' }]]],
    ['an empty value', 'Bearer realm="",service=""', [['bearer', { realm: '', service: '' }]]],
    ['a quote that never ends', 'Bearer service="s",realm="https://x', [['bearer', { service: 's' }]]],
    ['nothing', '', []],
    ['no header', [], []],
    ['noise', '"=,;\u0000\u00ff', []],
    ['a parameter without a scheme', 'realm="a"', [['realm', {}]]],
    ['more than anybody sends', `Basic realm="${'a'.repeat(9_000)}"`, []],
  ])('%s', (_, header, expected) => {
    expect(read(header)).toEqual(expected);
  });

  it('reads no more than a few', () => {
    expect(parseChallenges(Array.from({ length: 100 }, () => 'Basic'))).toHaveLength(16);
  });
});
