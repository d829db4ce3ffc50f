import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ImageNameError } from '../../agent/errors.ts';
import {
  digestReference,
  formatReference,
  parseImageName,
  repositoryOf,
  trimImageName,
} from '../../agent/image/reference.ts';

const HEX = '91fb4b041da273d5a3273b6d587d62d518300a6ad268b28628f74997b93171b2';
const DIGEST = `sha256:${HEX}`;

describe('an image name is normalized', () => {
  it.each([
    ['busybox', 'docker.io/library/busybox', 'latest', ''],
    ['org/app:1', 'docker.io/org/app', '1', ''],
    ['index.docker.io/app', 'docker.io/library/app', 'latest', ''],
    ['localhost/app', 'localhost/app', 'latest', ''],
    ['UPPER/case', 'UPPER/case', 'latest', ''],
    ['reg:5000/a/b:x', 'reg:5000/a/b', 'x', ''],
    [`reg.io/app@${DIGEST}`, 'reg.io/app', '', DIGEST],
    [`reg.io/app:1@${DIGEST}`, 'reg.io/app', '1', DIGEST],
  ])('%s', (text, repository, tag, digest) => {
    expect(parseImageName(text)).toEqual({ repository, tag, digest });
  });
});

describe('an image name is trimmed: tag and digest go, nothing else changes', () => {
  it.each([
    ['busybox:1', 'busybox'],
    ['localhost:5000', 'localhost'],
    [`index.docker.io/app:1@${DIGEST}`, 'index.docker.io/app'],
    [HEX, HEX],
  ])('%s', (text, trimmed) => {
    expect(trimImageName(text)).toBe(trimmed);
  });
});

describe('a text that is not an image name is refused', () => {
  it.each([
    ['', 'empty', trimImageName],
    ['reg.io/App', 'notLowercase', parseImageName],
    [HEX, 'imageId', parseImageName],
    ['a/b@sha256:abc', 'invalidFormat', parseImageName],
    [`a/b@md5:${'a'.repeat(32)}`, 'invalidFormat', parseImageName],
    [`a/b@sha256:${HEX.toUpperCase()}`, 'invalidFormat', parseImageName],
    ['a/b\n', 'invalidFormat', trimImageName],
    ['reg.io/../b', 'invalidFormat', trimImageName],
    [`reg.io/${'a'.repeat(256)}`, 'tooLong', trimImageName],
    ['a'.repeat(4_097), 'tooLong', parseImageName],
  ])('%.40s is %s', (text, reason, parse) => {
    expect(() => parse(text)).toThrow(expect.objectContaining({ name: 'ImageNameError', reason }));
  });

  it('takes a repository of 255 characters, not counting the registry', () => {
    expect(trimImageName(`reg.io/${'a'.repeat(255)}`)).toHaveLength(262);
  });
});

describe('the names that a runtime lists', () => {
  it.each([
    ['docker.io/library/busybox:1.36', 'docker.io/library/busybox'],
    [`quay.io/org/app@${DIGEST}`, 'quay.io/org/app'],
    ['<none>:<none>', undefined],
    ['<none>@<none>', undefined],
    [`<none>@${DIGEST}`, undefined],
    ['quay.io/org/app:<none>', undefined],
    ['', undefined],
  ])('%s', (name, repository) => {
    expect(repositoryOf(name)).toBe(repository);
  });
});

it('names one content by its digest', () => {
  const text = digestReference('reg.io/app', DIGEST);
  expect(parseImageName(text)).toEqual({ repository: 'reg.io/app', tag: '', digest: DIGEST });
});

const pieces = fc.constantFrom(
  ...['a', 'b1', 'A', '.', '_', '__', '-', '/', ':', '@', '[', ']', '::1', ' ', '\n', 'é', '\ud800'],
  ...['reg.io', 'localhost', 'docker.io', 'library', '5000', DIGEST, HEX, '<none>'],
);
const hostileText = fc.oneof(
  fc.array(pieces, { maxLength: 12 }).map((parts) => parts.join('')),
  fc.string({ unit: 'binary', maxLength: 40 }),
);

describe('whatever the text', () => {
  it('throws nothing but ImageNameError', () => {
    fc.assert(
      fc.property(hostileText, (text) => {
        for (const parse of [parseImageName, trimImageName]) {
          try {
            parse(text);
          } catch (error) {
            expect(error).toBeInstanceOf(ImageNameError);
          }
        }
      }),
      { numRuns: 5_000 },
    );
  });

  it('formats what it parsed to a text that parses to the same', () => {
    let parsed = 0;
    fc.assert(
      fc.property(hostileText, (text) => {
        if (repositoryOf(text) === undefined) return;
        parsed += 1;
        const name = parseImageName(text);
        expect(parseImageName(formatReference(name))).toEqual(name);
        expect(parseImageName(name.repository).repository).toBe(name.repository);
        expect(trimImageName(trimImageName(text))).toBe(trimImageName(text));
      }),
      { numRuns: 5_000 },
    );
    expect(parsed).toBeGreaterThan(100);
  });
});

describe('the work on a hostile text', () => {
  afterEach(() => vi.restoreAllMocks());

  /** Characters that regular expressions were given to look at. */
  function charactersMatched(text: string): number {
    const test = vi.spyOn(RegExp.prototype, 'test');
    for (const parse of [parseImageName, trimImageName]) expect(() => parse(text)).toThrow(ImageNameError);
    const total = test.mock.calls.reduce((sum, [subject]) => sum + String(subject).length, 0);
    test.mockRestore();
    return total;
  }

  const hostile = [
    (n: number) => `${'a-'.repeat(n / 2)}!`,
    (n: number) => `${'-'.repeat(n)}a`,
    (n: number) => `${'a.'.repeat(n / 2)}/`,
    (n: number) => `${'a/'.repeat(n / 2)}!`,
    (n: number) => `a${':1'.repeat(n / 2)}`,
    (n: number) => `a${'@'.repeat(n)}`,
  ];

  it.each(hostile.map((make) => [make(8), make] as const))(
    '%s… is refused unread when it is long',
    (_, make) => {
      expect(charactersMatched(make(100_000))).toBe(0);
      expect(charactersMatched(make(200_000))).toBe(0);
    },
  );

  it.each(hostile.map((make) => [make(8), make] as const))('%s… grows no faster than the text', (_, make) => {
    for (const n of [1_000, 2_000, 4_000]) expect(charactersMatched(make(n))).toBeLessThanOrEqual(6 * n);
  });
});
