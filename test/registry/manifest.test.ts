import { describe, expect, it } from 'vitest';
import { type Manifest, parseManifest, selectPlatform } from '../../agent/registry/manifest.ts';
import { digestOf, manifest } from './scene.ts';

const oci = 'application/vnd.oci.image.manifest.v1+json';

function index(...platforms: (string | undefined)[]): Extract<Manifest, { kind: 'index' }> {
  const manifests = platforms.map((text) => {
    const [os = '', architecture = '', variant] = text?.split('/') ?? [];
    const platform =
      text === undefined ? undefined : { os, architecture, ...(variant !== undefined && { variant }) };
    return { mediaType: oci, digest: digestOf(text ?? 'none'), size: 1, platform };
  });
  return { kind: 'index', manifests };
}

describe('a manifest', () => {
  const image = JSON.parse(manifest.toString());
  const list = {
    schemaVersion: 2,
    manifests: [
      { mediaType: oci, digest: digestOf('a'), size: 1, platform: { os: 'linux', architecture: 'amd64' } },
    ],
  };
  const read = (value: unknown): Manifest | undefined => parseManifest(Buffer.from(JSON.stringify(value)));

  it('of an image', () => {
    expect(read(image)).toEqual({ kind: 'image', config: image.config, layers: [] });
  });

  it('of an index, with and without a media type', () => {
    const expected = { kind: 'index', manifests: list.manifests };
    expect(read(list)).toEqual(expected);
    expect(read({ ...list, mediaType: 'application/vnd.oci.image.index.v1+json' })).toEqual(expected);
    expect(read({ ...list, mediaType: 'application/vnd.docker.distribution.manifest.list.v2+json' })).toEqual(
      expected,
    );
  });

  it.each<[string, unknown]>([
    ['version 1', { ...image, schemaVersion: 1 }],
    ['image and index at once', { ...image, manifests: [] }],
    [
      'an index by its type with layers',
      { ...list, mediaType: 'application/vnd.oci.image.index.v1+json', layers: [] },
    ],
    ['no config', { schemaVersion: 2, layers: [] }],
    ['layers that are none', { ...image, layers: {} }],
    ['a layer without a digest', { ...image, layers: [{ mediaType: oci, size: 1 }] }],
    ['a negative size', { ...image, config: { ...image.config, size: -1 } }],
    ['a list', []],
    ['null', null],
    ['a text', 'manifest'],
  ])('is not %s', (_, value) => {
    expect(read(value)).toBeUndefined();
  });

  it('is not parsed where that would hold up the agent', () => {
    const padded = (size: number): Buffer =>
      Buffer.concat([manifest, Buffer.alloc(size - manifest.length, ' ')]);
    expect(parseManifest(padded(512 * 1_024))).toMatchObject({ kind: 'image' });
    expect(parseManifest(padded(512 * 1_024 + 1))).toBeUndefined();
  });

  it('is not parsed where it has more values than any manifest', () => {
    const layer = { mediaType: oci, digest: digestOf('a'), size: 1 };
    const withLayers = (count: number): unknown => ({
      ...image,
      layers: Array.from({ length: count }, () => layer),
    });
    expect(read(withLayers(500))).toMatchObject({ kind: 'image' });
    expect(read(withLayers(3_000))).toBeUndefined();
    expect(parseManifest(Buffer.from('['.repeat(500_000)))).toBeUndefined();
  });

  it('is not what is no JSON', () => {
    expect(parseManifest(Buffer.from([0xff, 0x00]))).toBeUndefined();
  });
});

describe("the platform that this machine's runtime takes", () => {
  it.each<[string, (string | undefined)[], string, string | undefined]>([
    ['the very one', ['linux/arm64', 'linux/amd64'], 'linux/amd64', 'linux/amd64'],
    ['none', ['linux/arm64', 'windows/amd64'], 'linux/amd64', undefined],
    ['the first of equals', ['linux/amd64', 'linux/amd64'], 'linux/amd64', 'linux/amd64'],
    ['not one without a platform', [undefined], 'linux/amd64', undefined],
    ['not an attestation', ['unknown/unknown', 'linux/amd64'], 'linux/amd64', 'linux/amd64'],
    ['by another name', ['linux/x86_64'], 'linux/amd64', 'linux/x86_64'],
    ['ARM with its usual variant', ['linux/arm64/v8'], 'linux/arm64', 'linux/arm64/v8'],
    ['ARM without one', ['linux/arm64'], 'linux/arm64/v8', 'linux/arm64'],
    [
      'the newest that runs',
      ['linux/arm/v6', 'linux/arm/v7', 'linux/arm/v5'],
      'linux/arm/v7',
      'linux/arm/v7',
    ],
    ['not one that is too new', ['linux/arm/v7'], 'linux/arm/v6', undefined],
    ['an older one', ['linux/arm/v6', 'linux/arm/v8'], 'linux/arm/v7', 'linux/arm/v6'],
    [
      '32 bit on 64 bit ARM where there is nothing else',
      ['linux/arm/v6', 'linux/arm/v7'],
      'linux/arm64',
      'linux/arm/v7',
    ],
    ['64 bit on 64 bit ARM', ['linux/arm/v7', 'linux/arm64/v8'], 'linux/arm64', 'linux/arm64/v8'],
    ['not a newer amd64', ['linux/amd64/v3', 'linux/amd64'], 'linux/amd64', 'linux/amd64'],
  ])('%s', (_, platforms, node, expected) => {
    const [os = '', architecture = '', variant] = node.split('/');
    const found = selectPlatform(index(...platforms), {
      os,
      architecture,
      ...(variant !== undefined && { variant }),
    });
    expect(found?.digest).toBe(expected === undefined ? undefined : digestOf(expected));
  });
});
