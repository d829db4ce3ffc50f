import { type Descriptor, type Manifest, selectPlatform } from '../../registry/manifest.ts';
import type { ImagePieces } from '../../runtime/runtime.ts';

export type ImageManifest = Extract<Manifest, { kind: 'image' }>;

/**
 * `lacks`: whoever was asked does not have it, or has another. `refused`: it is not given to this credential.
 * `tooLarge`: more bytes than may be fetched. `unavailable`: no answer.
 */
export type Incomplete = {
  readonly outcome: 'lacks' | 'refused' | 'tooLarge' | 'unavailable';
  /** For the operator, on one line. */
  readonly message: string;
};

/** A manifest by its digest, or by a tag. */
export type ManifestReader = (reference: string) => Promise<Manifest | Incomplete>;

const MAX_PLATFORMS = 32;
const NODE_PLATFORM = { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch };
const NOT_THIS = 'its manifest is not of this content';

/** The image manifest of just this content, behind an index perhaps. */
export async function imageManifestAt(
  read: ManifestReader,
  reference: string,
  pieces: ImagePieces,
): Promise<ImageManifest | Incomplete> {
  const manifest = await read(reference);
  if ('outcome' in manifest) return manifest;
  if (manifest.kind === 'image') return isOf(manifest, pieces) ? manifest : lacks(NOT_THIS);
  for (const { digest } of likeliestFirst(manifest)) {
    const inner = await read(digest);
    // An index names images of other platforms that a registry need not hold.
    if ('outcome' in inner && inner.outcome === 'unavailable') return inner;
    if ('kind' in inner && inner.kind === 'image' && isOf(inner, pieces)) return inner;
  }
  return lacks(NOT_THIS);
}

export function lacks(message: string): Incomplete {
  return { outcome: 'lacks', message };
}

function isOf({ config, layers }: ImageManifest, pieces: ImagePieces): boolean {
  return config.digest === pieces.config && layers.length === pieces.layers.length;
}

function likeliestFirst(index: Extract<Manifest, { kind: 'index' }>): readonly Descriptor[] {
  const likeliest = selectPlatform(index, NODE_PLATFORM);
  const all = index.manifests.slice(0, MAX_PLATFORMS);
  return likeliest ? [likeliest, ...all.filter(({ digest }) => digest !== likeliest.digest)] : all;
}
