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
  /** Has the runtime other manifests under a name that did not match? Then it is to be compared again. */
  hasOtherManifests(listed: RuntimeImage): boolean;
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
  /** Could all images that have come be read? Otherwise what is new may have come with another one. */
  readonly isComplete: boolean;
};

/** An image under one of its names, and what the manifests there say. */
type Compared = Pick<Arrived, 'image'> & {
  readonly repository: string;
  /** Of the manifests. */
  readonly digests: readonly string[];
  /** Blob digests of the layers, lowest first: one list for each manifest that can be read. */
  readonly manifests: readonly (readonly string[])[];
};

type Unmatched = Pick<Compared, 'digests'> & { readonly layers: readonly string[] };

const MAX_CACHED = 1_000;
/** Only where the runtime has dropped its own notes, as with `discard_unpacked_layers` of containerd. */
const MAX_PROVEN = 20_000;

export function createLayerMatch(runtime: Pick<Runtime, 'blob'>, store: MatchStore): LayerMatch {
  /** Image id -> repository -> what does not match; only where something does not. */
  const unmatched = new Map<string, Map<string, Unmatched>>();
  /** Layers that are known to unpack from a blob, without a note of the runtime's. */
  const proven = new LRUCache<string, true>({ max: MAX_PROVEN });
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

  async function manifestsAt(digests: readonly string[], image: NodeImage): Promise<Compared['manifests']> {
    const manifests: (readonly string[])[] = [];
    for (const digest of digests) {
      const layers = await layersOf(image, digest).catch(ignoreOne);
      if (layers) manifests.push(layers);
    }
    return manifests;
  }

  /**
   * The layers that no manifest of this name is proven to name; of several manifests the best. What one that
   * names them all was the first to prove counts from then on.
   */
  function unmatchedIn(
    { image, manifests }: Compared,
    { blobs, isKnown, isComplete }: Arrival,
    claims: Claims,
  ): readonly string[] {
    const { layers } = image.pieces;
    const notesOn = (layer: string) => blobs?.get(layer) ?? [];
    const isProven = (layer: string, blob: string | undefined): boolean => {
      const notes = notesOn(layer);
      if (notes.length > 0) return notes.some(({ digest }) => digest === blob);
      // New to the node: the runtime has unpacked it from the only blob that is named for it.
      const isNew = isComplete && !isKnown(layer) && claims.get(layer)?.size === 1;
      return isNew || proven.has(claimOf(layer, blob));
    };
    const lists = manifests.map((named) => layers.filter((layer, at) => !isProven(layer, named[at])));
    for (const [nth, left] of lists.entries()) {
      if (left.length > 0) continue;
      for (const [at, layer] of layers.entries()) {
        if (notesOn(layer).length === 0) proven.set(claimOf(layer, manifests[nth]?.[at]), true);
      }
    }
    return shortest([layers, ...lists]);
  }

  function isMatched(imageRef: string, repository: string): boolean {
    return store.isMatched(imageIdKey(imageRef), repository);
  }

  function leave(imageRef: string, repository: string, left: Unmatched): void {
    const imageId = imageIdKey(imageRef);
    const ofImage = unmatched.get(imageId) ?? new Map<string, Unmatched>();
    ofImage.delete(repository);
    if (left.layers.length > 0) ofImage.set(repository, left);
    if (ofImage.size > 0) unmatched.set(imageId, ofImage);
    else unmatched.delete(imageId);
  }

  return {
    async compare(arrived, arrival) {
      const matched: { imageId: string; repository: string }[] = [];
      const compared: Compared[] = [];
      const imported: NodeImage[] = [];
      for (const { image, listed } of arrived) {
        for (const repository of image.names.filter((name) => !isMatched(image.imageRef, name))) {
          const name = nameAt(repository, listed);
          // An import under a tag has no digest: there is no manifest of a registry that could be compared.
          const isImport = name?.digests.length === 0 && !isPulledFor(repository, image, arrival.blobs);
          if (isImport) imported.push(image);
          if (arrival.blobs === undefined || isImport) {
            matched.push({ imageId: imageIdKey(image.imageRef), repository });
          } else {
            const digests = name?.digests ?? [];
            compared.push({ image, repository, digests, manifests: await manifestsAt(digests, image) });
          }
        }
      }
      const claims = claimsOf(compared, imported);
      for (const one of compared) {
        const { image, repository, digests } = one;
        const layers = unmatchedIn(one, arrival, claims);
        leave(image.imageRef, repository, { digests, layers });
        if (layers.length === 0) matched.push({ imageId: imageIdKey(image.imageRef), repository });
      }
      if (matched.length > 0) store.match(matched);
    },
    isMatched,
    unmatched: (imageRef, repository) => unmatched.get(imageIdKey(imageRef))?.get(repository)?.layers ?? [],
    hasOtherManifests(listed) {
      const before = unmatched.get(imageIdKey(listed.id)) ?? [];
      return [...before].some(([repository, { digests }]) => {
        const now = nameAt(repository, listed)?.digests ?? [];
        return now.length !== digests.length || now.some((digest) => !digests.includes(digest));
      });
    },
    shown(imageRef, repository, pieces) {
      const before = unmatched.get(imageIdKey(imageRef))?.get(repository);
      if (before === undefined) return;
      const layers = before.layers.filter((layer) => !pieces.includes(layer));
      leave(imageRef, repository, { ...before, layers });
      if (layers.length === 0) store.match([{ imageId: imageIdKey(imageRef), repository }]);
    },
    forgetAllBut(imageRefs) {
      const kept = new Set(Array.from(imageRefs, imageIdKey));
      for (const imageId of unmatched.keys()) if (!kept.has(imageId)) unmatched.delete(imageId);
      store.keepOnly(kept);
    },
  };
}

/** A pull registers its tag a moment before its digest, and has noted its repository on the config by then. */
function isPulledFor(repository: string, { pieces }: NodeImage, blobs: BlobsOfPieces | undefined): boolean {
  const withoutPort = repository.replace(/^([^/]+):\d+\//, '$1/');
  return (blobs?.get(pieces.config) ?? []).some(({ pulledFor }) => pulledFor.includes(withoutPort));
}

function claimOf(layer: string, blob: string | undefined): string {
  return `${layer} ${blob}`;
}

function shortest(lists: readonly (readonly string[])[]): readonly string[] {
  return lists.reduce((least, list) => (list.length < least.length ? list : least));
}

/**
 * Layer -> the blobs that manifests of this arrival name for it; `unknown` where somebody has it by a
 * manifest that cannot be read, or by none.
 */
type Claims = ReadonlyMap<string, ReadonlySet<string>>;

function claimsOf(compared: readonly Compared[], imported: readonly NodeImage[]): Claims {
  const claims = new Map<string, Set<string>>();
  const claim = ({ pieces }: NodeImage, blobs: readonly string[]): void => {
    for (const [at, layer] of pieces.layers.entries()) {
      claims.set(layer, (claims.get(layer) ?? new Set()).add(blobs[at] ?? 'unknown'));
    }
  };
  for (const { image, digests, manifests } of compared) {
    for (const blobs of manifests) claim(image, blobs);
    if (manifests.length < Math.max(1, digests.length)) claim(image, []);
  }
  for (const image of imported) claim(image, []);
  return claims;
}

/** One manifest that cannot be read proves nothing. @throws RuntimeError where the runtime is away */
function ignoreOne(error: unknown): undefined {
  if (error instanceof RuntimeError && error.reason === 'failed') return undefined;
  throw error;
}
