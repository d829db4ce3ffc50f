import { LRUCache } from 'lru-cache';
import { RuntimeError } from '../../errors.ts';
import { imageIdKey } from '../../image/image-id.ts';
import { largestParsedBytes, parseManifest } from '../../registry/manifest.ts';
import type { BlobsOfPieces, Runtime, RuntimeImage } from '../../runtime/runtime.ts';
import { nameAt } from '../names.ts';
import { imageManifestAt, lacks } from './image-manifest.ts';
import type { NodeImage } from './pieces.ts';

/** Names whose manifests were found to match the image; see records/matched-names.ts. */
export type MatchStore = {
  isMatched(imageId: string, repository: string): boolean;
  match(names: readonly { readonly imageId: string; readonly repository: string }[]): void;
  /** Forgets all others. */
  keepOnly(imageIds: ReadonlySet<string>): void;
};

/**
 * Does the manifest under which an image is listed name the layers that run?
 *
 * No registry compares the blobs that a manifest names with the `diff_ids` in the config beside them, and a
 * runtime that has a layer fetches no blob for it, whatever the manifest names. So a tenant could push the
 * diff_ids of another's layers with blobs of his own, to the very registry that has shown those layers. A
 * name has a right to a layer only where its manifest names, at that place, a blob that unpacks to it.
 * CRI-O goes by the blob, and needs no such proof.
 */
export type LayerMatch = {
  /**
   * Compares the names of these images that are not on record. Before what came with them counts as known.
   *
   * @throws RuntimeError where the runtime is away
   */
  compare(arrived: readonly Arrived[], arrival: Arrival): Promise<void>;
  /** Does every layer match? False for a name that was not compared yet. */
  isMatched(imageRef: string, repository: string): boolean;
  /** The layers that are not proven to be what this name's manifest names; none for a name not listed. */
  unmatched(imageRef: string, repository: string): readonly string[];
  /** The registry has served these pieces under this name, each from the place that the manifest names. */
  shown(imageRef: string, repository: string, pieces: readonly string[]): void;
  forgetAllBut(imageRefs: Iterable<string>): void;
};

export type Arrived = { readonly image: NodeImage; readonly listed: RuntimeImage };

export type Arrival = {
  /** What the runtime has noted about the layers of these images; undefined where it keeps no such notes. */
  readonly blobs: BlobsOfPieces | undefined;
  /** Was this piece on the node before? */
  readonly isKnown: (piece: string) => boolean;
  /** Other images of the node with this layer, as the runtime lists them. */
  readonly othersWith: (layer: string) => readonly Arrived[];
};

type Compared = Arrived & {
  readonly repository: string;
  /** Blob digests of the layers, lowest first: one list for each manifest that can be read. */
  readonly manifests: readonly (readonly string[])[];
};

/** Other images that are looked at for one that has the same layer from the same blob. */
const MAX_OTHERS = 16;
const MAX_CACHED = 1_000;

export function createLayerMatch(runtime: Pick<Runtime, 'blob'>, store: MatchStore): LayerMatch {
  /** Image and repository -> layers. */
  const unmatched = new Map<string, readonly string[]>();
  const layersByManifest = new LRUCache<string, readonly string[]>({ max: MAX_CACHED });

  async function readManifest(digest: string) {
    const bytes = await runtime.blob(digest, largestParsedBytes);
    return (bytes && parseManifest(bytes)) ?? lacks('it cannot be read');
  }

  /** Undefined for a manifest that the runtime does not keep, or that is of another image. */
  async function layersOf({ pieces }: NodeImage, digest: string): Promise<readonly string[] | undefined> {
    const key = `${pieces.config} ${digest}`;
    const before = layersByManifest.get(key);
    if (before) return before;
    const manifest = await imageManifestAt(readManifest, digest, pieces);
    if ('outcome' in manifest) return undefined;
    const layers = manifest.layers.map((layer) => layer.digest);
    layersByManifest.set(key, layers);
    return layers;
  }

  async function manifestsOf({ image, listed }: Arrived, repository: string): Promise<Compared['manifests']> {
    const manifests: (readonly string[])[] = [];
    for (const digest of nameAt(repository, listed)?.digests ?? []) {
      const layers = await layersOf(image, digest).catch(ignoreOne);
      if (layers) manifests.push(layers);
    }
    return manifests;
  }

  /** Has an image whose name is matched this layer from this blob? Where the runtime has dropped the blob. */
  async function isOfAnother(layer: string, blob: string, others: readonly Arrived[]): Promise<boolean> {
    for (const other of others.slice(0, MAX_OTHERS)) {
      for (const repository of other.image.names) {
        if (!isMatched(other.image.imageRef, repository)) continue;
        const manifests = await manifestsOf(other, repository);
        const { layers } = other.image.pieces;
        if (manifests.some((blobs) => layers.some((one, at) => one === layer && blobs[at] === blob)))
          return true;
      }
    }
    return false;
  }

  async function unmatchedIn(
    { image, manifests }: Compared,
    { blobs, isKnown, othersWith }: Arrival,
    claims: ReadonlyMap<string, ReadonlySet<string>>,
  ): Promise<readonly string[]> {
    const isProven = async (layer: string, blob: string): Promise<boolean> => {
      const noted = blobs?.get(layer) ?? [];
      if (noted.length > 0) return noted.some(({ digest }) => digest === blob);
      // New to the node: the runtime has unpacked it from the only blob that is named for it.
      if (!isKnown(layer) && claims.get(layer)?.size === 1) return true;
      return isOfAnother(layer, blob, othersWith(layer));
    };
    let fewest: readonly string[] = image.pieces.layers;
    for (const layersOfManifest of manifests) {
      const left: string[] = [];
      for (const [at, layer] of image.pieces.layers.entries()) {
        if (!(await isProven(layer, layersOfManifest[at] ?? ''))) left.push(layer);
      }
      if (left.length < fewest.length) fewest = left;
    }
    return fewest;
  }

  function isMatched(imageRef: string, repository: string): boolean {
    return store.isMatched(imageIdKey(imageRef), repository);
  }

  return {
    async compare(arrived, arrival) {
      const compared: Compared[] = [];
      const matched: { imageId: string; repository: string }[] = [];
      for (const { image, listed } of arrived) {
        for (const repository of image.names) {
          if (isMatched(image.imageRef, repository)) continue;
          // An import under a tag has no digest: there is no manifest of a registry that could be compared.
          const isBound = arrival.blobs !== undefined && nameAt(repository, listed)?.digests.length !== 0;
          const manifests = isBound ? await manifestsOf({ image, listed }, repository) : [];
          if (isBound) compared.push({ image, listed, repository, manifests });
          else matched.push({ imageId: imageIdKey(image.imageRef), repository });
        }
      }
      const claims = claimsOf(compared);
      for (const one of compared) {
        const { image, repository } = one;
        const left = await unmatchedIn(one, arrival, claims);
        if (left.length > 0) unmatched.set(placeOf(image.imageRef, repository), left);
        else matched.push({ imageId: imageIdKey(image.imageRef), repository });
      }
      if (matched.length > 0) store.match(matched);
    },
    isMatched,
    unmatched(imageRef, repository) {
      if (isMatched(imageRef, repository)) return [];
      return unmatched.get(placeOf(imageRef, repository)) ?? [];
    },
    shown(imageRef, repository, pieces) {
      const place = placeOf(imageRef, repository);
      const left = unmatched.get(place)?.filter((layer) => !pieces.includes(layer));
      if (left === undefined) return;
      unmatched.set(place, left);
      if (left.length > 0) return;
      store.match([{ imageId: imageIdKey(imageRef), repository }]);
      unmatched.delete(place);
    },
    forgetAllBut(imageRefs) {
      const kept = new Set(Array.from(imageRefs, imageIdKey));
      for (const place of unmatched.keys()) {
        if (!kept.has(place.slice(0, place.indexOf(' ')))) unmatched.delete(place);
      }
      store.keepOnly(kept);
    },
  };
}

function placeOf(imageRef: string, repository: string): string {
  return `${imageIdKey(imageRef)} ${repository}`;
}

/** Layer -> the blobs that manifests of this arrival name for it. */
function claimsOf(compared: readonly Compared[]): Map<string, Set<string>> {
  const claims = new Map<string, Set<string>>();
  for (const { image, manifests } of compared) {
    for (const blobs of manifests) {
      for (const [at, layer] of image.pieces.layers.entries()) {
        const named = claims.get(layer) ?? new Set();
        claims.set(layer, named.add(blobs[at] ?? ''));
      }
    }
  }
  return claims;
}

/** One manifest that cannot be read proves nothing. @throws RuntimeError where the runtime is away */
function ignoreOne(error: unknown): undefined {
  if (error instanceof RuntimeError && error.reason === 'failed') return undefined;
  throw error;
}
