import { imageIdKey } from '../../image/image-id.ts';
import type { ImagePieces } from '../../runtime/runtime.ts';

/** An image of the node: which registries it is listed under, and what it consists of. */
export type NodeImage = {
  readonly imageRef: string;
  /** Hosts of the registries whose names the runtime lists it under. */
  readonly registries: readonly string[];
  /** One name per repository that the runtime lists it under. */
  readonly names: readonly string[];
  readonly pieces: ImagePieces;
};

/**
 * The images of the node and their pieces, both ways round. A piece is the digest of an image config, or the diff_id of
 * a layer.
 */
export type PieceIndex = {
  image(imageRef: string): NodeImage | undefined;
  /** The images that have this piece. */
  imagesWith(piece: string): readonly NodeImage[];
  put(image: NodeImage): void;
  /** Forgets an image; returns the pieces that no other image has. */
  remove(imageRef: string): readonly string[];
  imageRefs(): Iterable<string>;
  pieces(): Iterable<string>;
};

export function createPieceIndex(): PieceIndex {
  const images = new Map<string, NodeImage>();
  const byPiece = new Map<string, NodeImage[]>();

  function unlink(image: NodeImage): string[] {
    const orphans: string[] = [];
    for (const piece of new Set(piecesOf(image))) {
      const rest = (byPiece.get(piece) ?? []).filter((other) => other !== image);
      if (rest.length > 0) byPiece.set(piece, rest);
      else {
        byPiece.delete(piece);
        orphans.push(piece);
      }
    }
    return orphans;
  }

  return {
    image: (imageRef) => images.get(imageIdKey(imageRef)),
    imagesWith: (piece) => byPiece.get(piece) ?? [],
    put(image) {
      const key = imageIdKey(image.imageRef);
      const before = images.get(key);
      if (before) unlink(before);
      images.set(key, image);
      for (const piece of new Set(piecesOf(image))) {
        const others = byPiece.get(piece);
        if (others) others.push(image);
        else byPiece.set(piece, [image]);
      }
    },
    remove(imageRef) {
      const key = imageIdKey(imageRef);
      const image = images.get(key);
      if (image === undefined) return [];
      images.delete(key);
      return unlink(image);
    },
    imageRefs: () => images.keys(),
    pieces: () => byPiece.keys(),
  };
}

/** The config first, then the layers from the lowest up. */
export function piecesOf({ pieces }: Pick<NodeImage, 'pieces'>): readonly string[] {
  return [pieces.config, ...pieces.layers];
}
