import { isObject, parseJson } from './body.ts';

/** Every form of a manifest that a runtime asks for. */
export const manifestTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
] as const;

const INDEX_TYPES: readonly string[] = manifestTypes.slice(0, 2);

/** A piece of content that a manifest names. */
export type Descriptor = { readonly mediaType: string; readonly digest: string; readonly size: number };

/** The machine that an image is for, in the words of the OCI image specification. */
export type Platform = { readonly os: string; readonly architecture: string; readonly variant?: string };

export type Manifest =
  | { readonly kind: 'image'; readonly config: Descriptor; readonly layers: readonly Descriptor[] }
  | {
      readonly kind: 'index';
      readonly manifests: readonly (Descriptor & { readonly platform: Platform | undefined })[];
    };

/**
 * Parsing holds up the thread, some milliseconds for this. Real manifests have a few kilobytes; registries
 * take up to 4 MiB.
 */
export const largestParsedBytes = 512 * 2 ** 10;

/** What the bytes say; undefined for what is no manifest of version 2, or larger than is parsed. */
export function parseManifest(bytes: Buffer): Manifest | undefined {
  if (bytes.byteLength > largestParsedBytes) return undefined;
  const json = parseJson(bytes);
  if (!isObject(json) || json.schemaVersion !== 2) return undefined;
  const { mediaType } = json;
  const isIndex =
    typeof mediaType === 'string' ? INDEX_TYPES.includes(mediaType) : Array.isArray(json.manifests);
  // One that could be read as either is read differently by different runtimes (CVE-2021-41190).
  if (isIndex ? 'config' in json || 'layers' in json : 'manifests' in json) return undefined;
  return isIndex ? readIndex(json.manifests) : readImage(json.config, json.layers);
}

function readImage(config: unknown, layers: unknown): Manifest | undefined {
  const described = readDescriptor(config);
  const all = readAll(layers, readDescriptor);
  return described && all && { kind: 'image', config: described, layers: all };
}

function readIndex(manifests: unknown): Manifest | undefined {
  const all = readAll(manifests, (entry) => {
    const descriptor = readDescriptor(entry);
    const platform = isObject(entry) ? readPlatform(entry.platform) : undefined;
    return descriptor && { ...descriptor, platform };
  });
  return all && { kind: 'index', manifests: all };
}

function readAll<T>(list: unknown, read: (entry: unknown) => T | undefined): readonly T[] | undefined {
  if (!Array.isArray(list)) return undefined;
  const all = list.map(read);
  return all.every((entry) => entry !== undefined) ? all : undefined;
}

function readDescriptor(entry: unknown): Descriptor | undefined {
  if (!isObject(entry)) return undefined;
  const { mediaType, digest, size } = entry;
  if (typeof mediaType !== 'string' || typeof digest !== 'string') return undefined;
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined;
  return { mediaType, digest, size };
}

function readPlatform(entry: unknown): Platform | undefined {
  if (!isObject(entry) || typeof entry.os !== 'string' || typeof entry.architecture !== 'string')
    return undefined;
  const { os, architecture, variant } = entry;
  return { os, architecture, ...(typeof variant === 'string' && { variant }) };
}

/**
 * The manifest of an index that a runtime on this machine takes: its very platform, or for ARM the best older
 * variant (containerd's platforms.Default: v8 runs v7 and so on). The first of equals. Undefined where there
 * is none.
 */
export function selectPlatform(
  { manifests }: Extract<Manifest, { kind: 'index' }>,
  node: Platform,
): Descriptor | undefined {
  let best: { descriptor: Descriptor; rank: number } | undefined;
  for (const descriptor of manifests) {
    const rank = descriptor.platform === undefined ? undefined : rankOf(descriptor.platform, node);
    if (rank !== undefined && rank > (best?.rank ?? -1)) best = { descriptor, rank };
  }
  return best?.descriptor;
}

/** Undefined for what this machine does not run; the higher the better. */
function rankOf(platform: Platform, node: Platform): number | undefined {
  const [theirs, ours] = [normalize(platform), normalize(node)];
  if (theirs.os !== ours.os) return undefined;
  if (theirs.architecture === ours.architecture) {
    const [their, our] = [variantOf(theirs), variantOf(ours)];
    return their > our ? undefined : 100 + their;
  }
  // 64 bit ARM runs 32 bit code as well.
  if (ours.architecture === 'arm64' && theirs.architecture === 'arm') return variantOf(theirs);
  return undefined;
}

/** The names that stand for the same (containerd/platforms database.go). */
function normalize({ os, architecture, variant = '' }: Platform): Required<Platform> {
  const [name = '', implied = ''] = ALIASES[architecture.toLowerCase()] ?? [architecture.toLowerCase(), ''];
  return { os: os.toLowerCase(), architecture: name, variant: variant || implied };
}

const ALIASES: Readonly<Record<string, readonly [string, string]>> = {
  x86_64: ['amd64', ''],
  'x86-64': ['amd64', ''],
  aarch64: ['arm64', ''],
  i386: ['386', ''],
  armhf: ['arm', 'v7'],
  armel: ['arm', 'v6'],
};

/** 5 to 8 for ARM, 1 to 4 for amd64; without one the least that all run, which is v7, v8 and v1. */
function variantOf({ architecture, variant }: Required<Platform>): number {
  const number = /^v?(\d)/.exec(variant)?.[1];
  if (number !== undefined) return Number(number);
  return architecture === 'arm64' ? 8 : architecture === 'arm' ? 7 : 1;
}
