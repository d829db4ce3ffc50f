import { imageIdKey } from '../../image/image-id.ts';
import type { ImagePieces } from '../../runtime/runtime.ts';

/** An image of the node: which registries it is listed under, and what it consists of. */
export type NodeImage = {
  readonly imageRef: string;
  /** Hosts of the registries whose names the runtime lists it under. */
  readonly registries: readonly string[];
  /** The repositories that the runtime lists it under. */
  readonly names: readonly string[];
  readonly pieces: ImagePieces;
};

/**
 * The images of the node and their pieces. A piece is the digest of an image config, or the diff_id of a
 * layer. A node has tens of thousands, so that they are kept as bytes, and who has a piece is looked for
 * where it is asked.
 */
export type PieceIndex = {
  image(imageRef: string): NodeImage | undefined;
  has(imageRef: string): boolean;
  isListedUnder(imageRef: string, repository: string): boolean;
  /** The images that have one of these pieces. Looks at all images: not for a hot path. */
  imagesWith(pieces: Iterable<string>): readonly NodeImage[];
  put(image: NodeImage): void;
  remove(imageRef: string): void;
  imageRefs(): Iterable<string>;
  /** All pieces of all images. */
  pieces(): ReadonlySet<string>;
};

type Kept = Omit<NodeImage, 'pieces'> & { readonly pieces: Buffer | ImagePieces };

export function createPieceIndex(): PieceIndex {
  const images = new Map<string, Kept>();

  function* all(): Iterable<NodeImage> {
    for (const kept of images.values()) yield unpacked(kept);
  }

  return {
    image(imageRef) {
      const kept = images.get(imageIdKey(imageRef));
      return kept && unpacked(kept);
    },
    has: (imageRef) => images.has(imageIdKey(imageRef)),
    isListedUnder: (imageRef, repository) =>
      images.get(imageIdKey(imageRef))?.names.includes(repository) ?? false,
    imagesWith(pieces) {
      const wanted = new Set(pieces);
      return [...all()].filter((image) => piecesOf(image).some((piece) => wanted.has(piece)));
    },
    put(image) {
      images.set(imageIdKey(image.imageRef), { ...image, pieces: packed(image.pieces) });
    },
    remove(imageRef) {
      images.delete(imageIdKey(imageRef));
    },
    imageRefs: () => [...images.keys()],
    pieces() {
      const pieces = new Set<string>();
      for (const image of all()) for (const piece of piecesOf(image)) pieces.add(piece);
      return pieces;
    },
  };
}

/** The config first, then the layers from the lowest up. */
export function piecesOf({ pieces }: Pick<NodeImage, 'pieces'>): readonly string[] {
  return [pieces.config, ...pieces.layers];
}

const SHA256 = /^sha256:[0-9a-f]{64}$/;
const BYTES = 32;

/** The digests one after the other; as they are where one of them is no sha256. */
function packed(pieces: ImagePieces): Buffer | ImagePieces {
  const all = piecesOf({ pieces });
  if (!all.every((piece) => SHA256.test(piece))) return pieces;
  return Buffer.from(all.map((piece) => piece.slice('sha256:'.length)).join(''), 'hex');
}

function unpacked({ pieces, ...image }: Kept): NodeImage {
  if (!Buffer.isBuffer(pieces)) return { ...image, pieces };
  const digestAt = (at: number) => `sha256:${pieces.toString('hex', at * BYTES, (at + 1) * BYTES)}`;
  const layers = Array.from({ length: pieces.length / BYTES - 1 }, (_, n) => digestAt(n + 1));
  return { ...image, pieces: { config: digestAt(0), layers } };
}
