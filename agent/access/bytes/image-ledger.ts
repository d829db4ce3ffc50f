import PQueue from 'p-queue';
import { imageIdKey } from '../../image/image-id.ts';
import { repositoryOf } from '../../image/reference.ts';
import type { Runtime, RuntimeImage } from '../../runtime/runtime.ts';
import { createPieceIndex, type NodeImage, piecesOf } from './pieces.ts';
import { createProvenance } from './provenance.ts';

/** What is on record about pieces; see records/shown-pieces.ts. */
export type ShownStore = {
  isShown(registry: string, piece: string): boolean;
  /** Was this piece on the node before, whoever brought it? */
  isKnown(piece: string): boolean;
  know(pieces: readonly string[]): void;
  add(registry: string, pieces: readonly string[]): void;
  /** Forgets all others. */
  keepOnly(pieces: Iterable<string>): void;
};

/** The images of the node, what they consist of, and which registry has shown what of it. */
export type ImageLedger = {
  /** Takes in what the runtime lists now: new images, and names that they did not have. */
  look(): Promise<void>;
  /** Takes an image in at once, with all that came with it; undefined where the runtime does not tell its pieces. */
  notice(imageRef: string): Promise<NodeImage | undefined>;
  /** Has this registry shown every piece? The question of the hot path: one look into a set. */
  isWhollyShown(imageRef: string, registry: string): boolean;
  /** The same by what is on record, before the images of the node have been listed. */
  isOnRecord(imageRef: string, registry: string): Promise<boolean>;
  /** The pieces of an image that this registry has not shown. */
  notShown(imageRef: string, registry: string): readonly string[];
  imagesWith(piece: string): readonly NodeImage[];
  /** The repositories that the runtime lists an image under. */
  namesOf(imageRef: string): readonly string[];
  shown(registry: string, pieces: readonly string[]): void;
  /** Forgets images that are not among these. */
  keepOnly(imageRefs: readonly string[]): void;
};

export type ImageLedgerParts = {
  readonly runtime: Pick<Runtime, 'listImages' | 'imagePieces'>;
  readonly store: ShownStore;
  /** Does a piece count as shown for having been new to the node? */
  readonly believesNew: boolean;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** These images rest on pieces that do not count as shown any longer: what runs on them is to be judged again. */
  readonly onDoubt: (imageRefs: readonly string[]) => void;
};

/** Images whose pieces the runtime is asked for at once. */
const AT_ONCE = 4;

export function createImageLedger(parts: ImageLedgerParts): ImageLedger {
  const { runtime, store } = parts;
  const index = createPieceIndex();
  const provenance = createProvenance({
    shown: store,
    know: store.know,
    settle: parts.believesNew ? store.add : () => undefined,
    now: parts.now,
  });
  /** `imageId@registry` of what is shown from end to end. */
  const whole = new Set<string>();
  let noticing: Promise<void> = Promise.resolve();

  const keyOf = (imageRef: string, registry: string) => `${imageIdKey(imageRef)}@${registry}`;

  function counts(registry: string, piece: string): boolean {
    return parts.believesNew ? provenance.isBroughtBy(registry, piece) : store.isShown(registry, piece);
  }

  /** Undefined where the runtime does not tell; it is asked again with the next list. */
  async function readImage(image: RuntimeImage): Promise<NodeImage | undefined> {
    const known = index.image(image.id);
    const names = namesOf(image);
    const registries = [...new Set(names.map((name) => name.slice(0, name.indexOf('/'))))];
    if (known) return { ...known, names, registries };
    const { pieces } = await runtime.imagePieces(image.id);
    return pieces && { imageRef: image.id, names, registries, pieces };
  }

  function isNews(image: NodeImage): boolean {
    const known = index.image(image.imageRef);
    return known === undefined || image.registries.some((registry) => !known.registries.includes(registry));
  }

  async function takeIn(images: readonly RuntimeImage[]): Promise<void> {
    const read = await new PQueue({ concurrency: AT_ONCE }).addAll(
      images.map((image) => () => readImage(image)),
    );
    const present = read.filter((image) => image !== undefined);
    const news = present.filter(isNews);
    for (const image of present) index.put(image);
    const contested = provenance.arrived(news);
    provenance.sweep();
    if (contested.length > 0) doubt(contested);
  }

  function keepOnly(imageRefs: readonly string[]): void {
    const kept = new Set(imageRefs.map(imageIdKey));
    for (const key of [...index.imageRefs()]) {
      if (kept.has(key)) continue;
      provenance.forget(index.remove(key));
      for (const entry of whole) if (entry.startsWith(`${key}@`)) whole.delete(entry);
    }
    store.keepOnly(index.pieces());
  }

  function doubt(pieces: readonly string[]): void {
    const imageRefs = new Set(
      pieces.flatMap((piece) => index.imagesWith(piece).map(({ imageRef }) => imageRef)),
    );
    for (const imageRef of imageRefs) {
      for (const entry of whole) if (entry.startsWith(`${imageIdKey(imageRef)}@`)) whole.delete(entry);
    }
    parts.onDoubt([...imageRefs]);
  }

  /** One after the other, so that what one list has taken in is there for the next. */
  function look(): Promise<void> {
    const again = async () => takeIn(await runtime.listImages());
    noticing = noticing.then(again, again);
    return noticing;
  }

  return {
    look,
    async notice(imageRef) {
      // Whatever came with it, or just before it, is to be seen before anything is said about it.
      await look();
      return index.image(imageRef);
    },
    isWhollyShown(imageRef, registry) {
      const key = keyOf(imageRef, registry);
      if (whole.has(key)) return true;
      const image = index.image(imageRef);
      if (image === undefined || !piecesOf(image).every((piece) => counts(registry, piece))) return false;
      whole.add(key);
      return true;
    },
    async isOnRecord(imageRef, registry) {
      const { pieces } = await runtime.imagePieces(imageRef);
      if (pieces === undefined) return false;
      if (!piecesOf({ pieces }).every((piece) => store.isShown(registry, piece))) return false;
      whole.add(keyOf(imageRef, registry));
      return true;
    },
    notShown(imageRef, registry) {
      const image = index.image(imageRef);
      return image ? piecesOf(image).filter((piece) => !counts(registry, piece)) : [];
    },
    imagesWith: index.imagesWith,
    namesOf: (imageRef) => index.image(imageRef)?.names ?? [],
    shown: store.add,
    keepOnly,
  };
}

/** The normalized repositories that the runtime lists an image under. */
function namesOf({ repoTags, repoDigests }: RuntimeImage): readonly string[] {
  const repositories = [...repoTags, ...repoDigests].flatMap((name) => repositoryOf(name) ?? []);
  return [...new Set(repositories)];
}
