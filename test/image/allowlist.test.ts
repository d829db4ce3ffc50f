import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AllowlistError } from '../../agent/errors.ts';
import { allowlistMatches, parseAllowlist } from '../../agent/image/allowlist.ts';

describe('a pattern of the allowlist', () => {
  it.each([
    [' reg.io/app', 'surroundingSpaces'],
    ['reg.io/app\u0085', 'surroundingSpaces'],
    ['reg.io/*\u00a0', 'surroundingSpaces'],
    ['', 'tooShort'],
    ['/*', 'tooShort'],
    ['*', 'wildcard'],
    ['reg.io/a*', 'wildcard'],
    ['reg.io/*/*', 'wildcard'],
    ['reg.io/App', 'notAnImageName'],
    ['\ufeffreg.io/app', 'notAnImageName'],
    ['reg.io/app:1', 'tagOrDigest'],
  ])('%j is refused, and the error names it', (pattern, reason) => {
    expect(() => parseAllowlist(['reg.io/fine', pattern])).toThrow(
      expect.objectContaining({
        name: 'AllowlistError',
        reason,
        message: expect.stringContaining(JSON.stringify(pattern)),
      }),
    );
  });

  it('says the pattern in the message', () => {
    expect(() => parseAllowlist(['reg.io/a*'])).toThrow('"reg.io/a*"');
  });

  it('stands for one image under any tag or digest', () => {
    const allowlist = parseAllowlist(['reg.io/org/app']);
    expect(allowlistMatches(allowlist, 'reg.io/org/app:1')).toBe(true);
    expect(allowlistMatches(allowlist, 'reg.io/org/app2')).toBe(false);
  });

  it('stands for all that is below a path, not for what only begins like it', () => {
    const allowlist = parseAllowlist(['reg.io/org/*']);
    expect(allowlistMatches(allowlist, 'reg.io/org/team/app')).toBe(true);
    expect(allowlistMatches(allowlist, 'reg.io/org2/app')).toBe(false);
    expect(allowlistMatches(allowlist, 'reg.io/org')).toBe(false);
  });

  it('normalizes nothing: a short name is another entry than the whole one', () => {
    const allowlist = parseAllowlist(['docker.io/library/*']);
    expect(allowlistMatches(allowlist, 'busybox')).toBe(false);
    expect(allowlistMatches(parseAllowlist(['busybox']), 'docker.io/library/busybox')).toBe(false);
  });

  it('never fits a text that is not an image name', () => {
    expect(allowlistMatches(parseAllowlist(['reg.io/*']), 'reg.io/APP')).toBe(false);
    expect(allowlistMatches(parseAllowlist(['reg.io/*']), `reg.io/${'a'.repeat(100_000)}`)).toBe(false);
  });
});

it('an empty list fits nothing', () => {
  expect(allowlistMatches(parseAllowlist([]), 'busybox')).toBe(false);
});

it('throws nothing but AllowlistError, whatever the patterns and the image', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(fc.constantFrom('a', '/', '*', ':', '@', ' ', '.')).map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(fc.array(text), text, (patterns, image) => {
      try {
        allowlistMatches(parseAllowlist(patterns), image);
      } catch (error) {
        expect(error).toBeInstanceOf(AllowlistError);
      }
    }),
    { numRuns: 500 },
  );
});
