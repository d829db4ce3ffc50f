import { describe, expect, it } from 'vitest';
import { imageIdKey, isImageId } from '../../agent/image/image-id.ts';

const HEX = '91fb4b041da273d5a3273b6d587d62d518300a6ad268b28628f74997b93171b2';

describe('image ids', () => {
  it('are the same with the prefix that containerd writes and without it, as CRI-O does', () => {
    expect(imageIdKey(`sha256:${HEX}`)).toBe(imageIdKey(HEX));
    expect(isImageId(`sha256:${HEX}`)).toBe(true);
    expect(isImageId(HEX)).toBe(true);
  });

  it.each([
    'sha256:short',
    `sha256:${HEX}0`,
    `sha256:${HEX.toUpperCase()}`,
    `sha512:${HEX}`,
    `docker.io/library/a@sha256:${HEX}`,
    '',
  ])('keep a text that is none as it is: %s', (text) => {
    expect(imageIdKey(text)).toBe(text);
    expect(isImageId(text)).toBe(false);
  });
});
