import { describe, expect, it } from 'vitest';
import { AllowlistError, ImageNameError } from '../../agent/errors.ts';
import { allowlistMatches, parseAllowlist } from '../../agent/image/allowlist.ts';
import { formatReference, parseImageName, trimImageName } from '../../agent/image/reference.ts';

const hex = 'a'.repeat(64);

function failureOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof ImageNameError || error instanceof AllowlistError) return error.reason;
    throw error;
  }
  return 'none';
}

describe('the edges of an image name', () => {
  it.each([
    ['A'.repeat(4_096), 'notLowercase', 'invalidFormat'],
    ['A'.repeat(4_097), 'tooLong', 'tooLong'],
    ['appA', 'notLowercase', 'invalidFormat'],
    [hex, 'imageId', 'none'],
    [`${hex}/app`, 'none', 'none'],
    ['reg.example/a:TAG', 'none', 'none'],
  ])('%#: parsing says %s, trimming %s', (text, parsing, trimming) => {
    expect(failureOf(() => parseImageName(text))).toBe(parsing);
    expect(failureOf(() => trimImageName(text))).toBe(trimming);
  });

  it('are shown no longer than 200 characters', () => {
    const message = (act: () => unknown) => {
      try {
        act();
      } catch (error) {
        if (error instanceof Error) return error.message;
      }
      return '';
    };
    expect(message(() => parseImageName('A'.repeat(300)))).toMatch(
      /^"A{200}" is not an image name: the repository/,
    );
    expect(message(() => parseAllowlist(['A'.repeat(300)]))).toMatch(/^"A{200}" is not an image pattern: /);
  });
});

describe('an image name is written', () => {
  it.each([
    [{ repository: 'reg.example/a', tag: '1', digest: '' }, 'reg.example/a:1'],
    [{ repository: 'reg.example/a', tag: '', digest: `sha256:${hex}` }, `reg.example/a@sha256:${hex}`],
    [{ repository: 'reg.example/a', tag: '1', digest: `sha256:${hex}` }, `reg.example/a:1@sha256:${hex}`],
    [{ repository: 'reg.example/a', tag: '', digest: '' }, 'reg.example/a'],
  ])('%#: with what it has of tag and digest', (name, text) => {
    expect(formatReference(name)).toBe(text);
  });
});

describe('an allowlist pattern', () => {
  it.each([
    [' reg.example/a', 'surroundingSpaces'],
    ['reg.example/a\u0085', 'surroundingSpaces'],
    ['reg.example/a b', 'notAnImageName'],
  ])('%#: %j is refused as %s', (pattern, reason) => {
    expect(failureOf(() => parseAllowlist([pattern]))).toBe(reason);
  });

  it('opens nothing that it does not name', () => {
    expect(allowlistMatches(parseAllowlist([]), 'reg.example/a')).toBe(false);
    expect(parseAllowlist(['reg.example/a'])).toEqual({ names: new Set(['reg.example/a']), prefixes: [] });
  });
});
