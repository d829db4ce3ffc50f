import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodingsOf } from '../../agent/runtime/credential-encodings.ts';
import { classify } from './pull-error-scene.ts';

const kept = (message: string, secrets: readonly string[] = []) => classify(message, { secrets }).message;

describe('the message that is kept', () => {
  it('is one line of at most 512 characters that still tells the cause', () => {
    const long = kept(`failed to pull "${'x'.repeat(1_500)}":\n\tunexpected\u2028status: 401 Unauthorized`);
    expect(long.length).toBeLessThanOrEqual(512);
    expect(long).not.toMatch(/[\p{Cc}\u2028]/u);
    expect(long).toMatch(/401 Unauthorized$/);
  });

  it('is of the first 2 KiB', () => {
    expect(kept(`begin ${'x '.repeat(1_100)}end`)).not.toContain('end');
  });

  it('holds no login, no query and no token', () => {
    const message = kept(
      'Get "https://alice:pw@r.example/token?account=alice&service=r&token=abc": Authorization: Basic YWxpY2U6aHVudGVyMjI= password="hunter22x" bearer abcdefgh.i',
    );
    expect(message).toBe('Get "https://r.example/token": Authorization: Basic *** password="***" bearer ***');
    expect(kept('body {"access_token": "eyJhbGciOi"} token=eyJhbGciOi')).toBe(
      'body {"access_token": ***"} token=***',
    );
    expect(kept('https://a:b@one.example/x,https://c:d@two.example/y?q=1')).toBe(
      'https://one.example/x,https://two.example/y',
    );
  });

  it('leaves ordinary words as they are', () => {
    for (const message of [
      'failed to fetch oauth token: unexpected status: 401 Unauthorized',
      'pull access denied, repository does not exist or may require authorization: no basic auth credentials',
    ])
      expect(kept(message, encodingsOf({ username: 'alice', password: 'correct horse' }))).toBe(message);
  });
});

/** Every form in which somebody may repeat a credential. */
function formsOf({ username, password }: { username: string; password: string }): string[] {
  const basic = `${username}:${password}`;
  const json = JSON.stringify(password).slice(1, -1);
  const component = encodeURIComponent(password);
  return [
    password,
    password.replace(/[a-z]/g, (letter) => letter.toUpperCase()),
    json,
    JSON.stringify(json).slice(1, -1),
    json.replaceAll('>', '\\u003e').replaceAll('<', '\\u003C').replaceAll('&', '\\u0026'),
    component,
    component.toLowerCase(),
    new URLSearchParams({ p: password }).toString().slice(2),
    Buffer.from(basic).toString('base64'),
    Buffer.from(basic).toString('base64').replaceAll('=', ''),
    Buffer.from(basic).toString('base64url'),
    encodeURIComponent(Buffer.from(basic).toString('base64')),
    Buffer.from(password).toString('base64'),
  ];
}

describe('a credential in a message', () => {
  it('ends the message, whichever form it has', () => {
    const auth = { username: 'alice', password: 'tip>"top"\\ sécret/1 & \t?more(!)' };
    const { password } = auth;
    const goQuoted = 'tip>\\"top\\"\\\\ s\\u00e9cret/1 & \\t?more(!)';
    const html = 'tip&gt;&#34;top&#34;\\ sécret/1 &amp; \t?more(!)';
    for (const form of [...formsOf(auth), goQuoted, html]) {
      expect(kept(`denied: <${form}> no`, encodingsOf(auth)), form).toBe('denied: <***');
      expect(kept(`denied: <${form.slice(0, 9)}`, encodingsOf(auth)), form).toBe('denied: <***');
    }
    expect(kept(`denied: "${password.slice(0, 5)}..."`, encodingsOf(auth))).toBe('denied: "***');
  });

  it('is not kept in part where the message was cut', () => {
    const auth = { username: 'alice', password: 'correct-horse-battery' };
    for (let cut = 4; cut < auth.password.length; cut += 1) {
      const filler = 'x '.repeat(1_024).slice(cut);
      expect(kept(`${filler}${auth.password}`, encodingsOf(auth))).not.toMatch(/c[or-]|\*\*\*./);
      expect(kept(`denied: ${auth.password.slice(0, cut)}`, encodingsOf(auth))).toBe('denied: ***');
    }
  });

  it('may be of any length', () => {
    const auth = { username: 'alice', password: 'abcdefghij'.repeat(10_000) };
    for (const cut of [9, 2_000, 20_000, 100_000]) {
      const echo = `denied: ${auth.password.slice(0, cut)}`;
      expect(kept(echo, encodingsOf(auth))).toBe('denied: ***');
      expect(kept(`${echo}: end`, encodingsOf(auth))).toBe('denied: ***');
    }
  });

  it('leaves nothing of itself, wherever and in whatever form it stands', () => {
    const auths = fc.record({
      username: fc.string({ maxLength: 30 }),
      // The words around hold none of these letters, so that what is found of them is the password's.
      password: fc
        .array(fc.constantFrom(...'abcXYZ1234é€😀"\\<>&%+/=? \t\u0001'), { minLength: 4, maxLength: 80 })
        .map((letters) => letters.join(''))
        // Four spaces are no secret.
        .filter((password) => password.trim().length >= 4 && password.trim() === password),
    });
    fc.assert(
      fc.property(auths, fc.nat({ max: 2_200 }), fc.nat({ max: 12 }), (auth, at, which) => {
        const form = formsOf(auth)[which] ?? '';
        const secrets = encodingsOf(auth);
        const before = 'uuu '.repeat(600).slice(0, at);
        const message = kept(`${before}${form} uuu uuu`, secrets);
        expect(message.replaceAll(/[u …]/g, '')).toMatch(/^(?:\*\*\*)?$/);
      }),
      { numRuns: 2_000 },
    );
  });
});

/** Milliseconds of the fastest of some runs: what else the machine does only makes a run longer. */
function fastest(work: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 15; run += 1) {
    const started = performance.now();
    for (let time = 0; time < 5; time += 1) work();
    best = Math.min(best, performance.now() - started);
  }
  return best;
}

describe('the work that a tenant can cause', () => {
  const auth = { username: 'alice', password: 'correct horse' };
  const hostile = [
    ...[
      '(',
      '"',
      '\\"',
      '://',
      'a://',
      '?',
      '<>: ',
      'unknown: artifact ',
      'a.',
      'registry ',
      'token=',
      'token": ',
    ],
    ...[
      'basic ',
      '[manifests ',
      'corr',
      '[',
      ' status from get request to ',
      '(Mirrors also failed: ',
      ']): ',
    ],
  ];

  it.each(hostile)('grows no faster than the text, and ends where the text is cut: %j', (unit) => {
    const secrets = encodingsOf(auth);
    const cost = (length: number) => {
      const text = unit.repeat(Math.ceil(length / unit.length)).slice(0, length);
      return fastest(() => classify(text, { secrets }));
    };
    const [small, whole, beyond] = [cost(512), cost(2_048), cost(65_536)];
    // Four times the text: four times the work, and eight where the machine is in a bad mood; squared it is
    // sixteen.
    expect(whole).toBeLessThan(small * 10 + 0.5);
    expect(beyond).toBeLessThan(whole * 4 + 0.5);
  });

  it('does not depend on how long the password is', () => {
    const cost = (length: number) => {
      const long = { username: 'alice', password: 'é'.repeat(length) };
      return fastest(() => encodingsOf(long));
    };
    expect(cost(65_536)).toBeLessThan(cost(64) * 4 + 0.5);
    expect(encodingsOf({ username: 'u', password: 'é"'.repeat(65_536) }).length).toBeLessThan(100);
  });
});
