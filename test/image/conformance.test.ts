import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AllowlistError, allowlistMatches, parseAllowlist } from '../../agent/image/allowlist.ts';
import { ImageNameError, parseImageName, trimImageName } from '../../agent/image/reference.ts';

/**
 * Recorded from kubelet v1.36.2's image name parsers and its allowlist (IMAGE_NAME_VECTORS and ALLOWLIST_VECTORS name
 * other files of the same kind).
 */
type NameVector = {
  image: string;
  repository?: string;
  tag?: string;
  digest?: string;
  parseError?: boolean;
  trimmed?: string;
  trimError?: boolean;
};
type AllowlistVector = {
  pattern: string;
  valid: boolean;
  images?: { image: string; requiresVerification: boolean }[];
};

function read(variable: string, name: string): unknown {
  return JSON.parse(
    readFileSync(process.env[variable] ?? join(import.meta.dirname, '../conformance', name), 'utf8'),
  );
}

// The recordings are the contract; a vector that is not of this shape fails its test.
const names = read('IMAGE_NAME_VECTORS', 'image-name.json') as NameVector[];
const patterns = read('ALLOWLIST_VECTORS', 'allowlist.json') as AllowlistVector[];

describe("kubelet's image name parsers", () => {
  it.each(names.map((vector, n) => [`${n} ${JSON.stringify(vector.image.slice(0, 80))}`, vector] as const))(
    'vector %s',
    (_, vector) => {
      const { image, repository, tag, digest, trimmed } = vector;
      if (vector.parseError) expect(() => parseImageName(image)).toThrow(ImageNameError);
      else expect(parseImageName(image)).toEqual({ repository, tag, digest });
      if (vector.trimError) expect(() => trimImageName(image)).toThrow(ImageNameError);
      else expect(trimImageName(image)).toBe(trimmed);
    },
  );
});

describe("kubelet's allowlist", () => {
  it.each(patterns.map((vector) => [JSON.stringify(vector.pattern), vector] as const))(
    'pattern %s',
    (_, { pattern, valid, images = [] }) => {
      if (!valid) {
        expect(() => parseAllowlist([pattern])).toThrow(AllowlistError);
        return;
      }
      expect(images).not.toHaveLength(0);
      const allowlist = parseAllowlist([pattern]);
      const answers = images.map(({ image }) => ({
        image,
        requiresVerification: !allowlistMatches(allowlist, image),
      }));
      expect(answers).toEqual(images);
    },
  );
});
