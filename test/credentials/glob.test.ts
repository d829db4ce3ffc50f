import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { globMatches, parseGlob } from '../../agent/credentials/glob.ts';

function matches(pattern: string, name: string): boolean | undefined {
  const glob = parseGlob(pattern);
  return glob && globMatches(glob, name);
}

describe("a pattern as Go's filepath.Match reads it", () => {
  it.each([
    ['abc', 'abc', true],
    ['abc', 'abcd', false],
    ['', '', true],
    ['', 'a', false],
    ['*', '', true],
    ['*', 'a/b', false],
    ['a*', 'a', true],
    ['*c', 'abc', true],
    ['*x', 'xxx', true],
    ['a*b*c', 'aXbXbXc', true],
    ['a*b*c', 'aXcXb', false],
    ['a*/b', 'abc/b', true],
    ['a*/b', 'a/c/b', false],
    ['a?c', 'abc', true],
    ['a?c', 'a/c', false],
    ['a[bc]', 'ab', true],
    ['a[b-d]', 'ac', true],
    ['a[^b-d]', 'ac', false],
    ['a[^b-d]', 'ae', true],
    ['[a*]', '*', true],
    ['[\\]]', ']', true],
    ['\\*', '*', true],
    ['\\*', 'a', false],
  ])('%s and %s: %s', (pattern, name, expected) => {
    expect(matches(pattern, name)).toBe(expected);
  });

  it.each(['[', '[^', 'a[', '[]', '[]a]', '[-]', '[x-]', '[-x]', '[a-b-c]', '\\', 'a\\'])(
    '%s is none',
    (pattern) => {
      expect(parseGlob(pattern)).toBeUndefined();
    },
  );

  it('takes a run of stars for one', () => {
    expect(parseGlob('a***b')).toEqual(parseGlob('a*b'));
  });
});

it('agrees with a regular expression made of the same parts', () => {
  const part = fc.constantFrom(
    ...(['a', 'b'] as const).map((letter) => [letter, letter] as const),
    ['*', '[^/]*'] as const,
    ['?', '[^/]'] as const,
    ['[ab]', '[ab]'] as const,
    ['[^a]', '[^a]'] as const,
  );
  const name = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 8 }).map((letters) => letters.join(''));
  fc.assert(
    fc.property(fc.array(part, { maxLength: 6 }), name, (parts, text) => {
      const pattern = parts.map(([glob]) => glob).join('');
      const expression = new RegExp(`^${parts.map(([, source]) => source).join('')}$`);
      expect(matches(pattern, text)).toBe(expression.test(text));
    }),
    { numRuns: 3_000 },
  );
});

it('ends on a pattern that would take backtracking for ever', () => {
  expect(matches(`${'a*'.repeat(100)}b`, 'a'.repeat(255))).toBe(false);
});
