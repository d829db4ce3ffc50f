import PQueue from 'p-queue';
import { RuntimeError } from '../../errors.ts';
import { imageIdKey } from '../../image/image-id.ts';
import { hostOf, repositoryOf } from '../../image/reference.ts';
import type { BlobsOfPieces, Runtime, RuntimeImage } from '../../runtime/runtime.ts';
import { createLayerMatch, type MatchStore } from './layer-match.ts';
import { createPieceIndex, type NodeImage, piecesOf } from './pieces.ts';
import { type Circumstances, createProvenance } from './provenance.ts';

/** What a registry has to do with a piece, from the least to the most; see records/shown-pieces.ts. */
type Holding = 'named' | 'brought' | 'shown';

/** What is on record about pieces; see records/shown-pieces.ts. */
export type ShownStore = {
  holding(registry: string, piece: string): Holding | undefined;
  /** Was this piece on the node before, whoever brought it? */
  isKnown(piece: string): boolean;
  /** Every registry that this piece has been seen under; a host name without its port where only a note names it. */
  hosts(piece: string): readonly string[];
  add(registry: string, pieces: readonly string[], holding: Holding): void;
  /** Forgets all others. */
  keepOnly(pieces: Iterable<string>): void;
};

/** The images of the node, what they consist of, and which registry has shown what of it. */
export type ImageLedger = {
  /**
   * Takes in what the runtime lists now: new images, and names that they did not have. @throws RuntimeError
   */
  look(): Promise<void>;
  /**
   * Takes an image in at once, with all that came with it; undefined where the runtime does not tell its
   * pieces.
   *
   * @throws RuntimeError
   */
  notice(imageRef: string): Promise<NodeImage | undefined>;
  /**
   * Has the registry of this repository shown every piece, and does the manifest there stand for them? The
   * question of the hot path.
   */
  isWhollyShown(imageRef: string, repository: string): boolean;
  /** The same by what is on record, before the images of the node have been listed. @throws RuntimeError */
  isOnRecord(imageRef: string, repository: string): Promise<boolean>;
  /** Does the runtime list this image under this repository, as far as is known? */
  isListedUnder(imageRef: string, repository: string): boolean;
  /** The pieces of an image that are not shown at this repository. */
  notShown(imageRef: string, repository: string): readonly string[];
  imagesWith(pieces: Iterable<string>): readonly NodeImage[];
  /** Every registry that can have brought this piece. */
  hostsOf(piece: string): readonly string[];
  /** The registry has served these bytes of the image to us, as what this repository names. */
  shown(imageRef: string, repository: string, pieces: readonly string[]): void;
  /** Grows whenever something stops counting as shown: what was concluded before is to be concluded anew. */
  doubts(): number;
  /**
   * Looks once more, then forgets images that are neither among these nor listed. An image that a container
   * uses must be among them though it lost its names: its layers are on the disk, and whoever names them
   * fetches nothing.
   *
   * @throws RuntimeError
   */
  keepOnly(imageRefs: readonly string[]): Promise<void>;
};

export type ImageLedgerParts = {
  readonly runtime: Pick<Runtime, 'listImages' | 'imagePieces' | 'blobsOfPieces' | 'blob'>;
  readonly store: ShownStore;
  readonly matched: MatchStore;
  /** Does a piece count as shown for having been new to the node? */
  readonly believesNew: boolean;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /**
   * These images rest on pieces that do not count as shown any longer: what runs on them is to be judged
   * again.
   */
  readonly onDoubt: (imageRefs: readonly string[]) => void;
};

/** Images whose pieces the runtime is asked for at once. */
const AT_ONCE = 4;

export function createImageLedger(parts: ImageLedgerParts): ImageLedger {
  const { runtime, store } = parts;
  const index = createPieceIndex();
  const match = createLayerMatch(runtime, parts.matched);
  const provenance = createProvenance({
    isKnown: store.isKnown,
    know: (registry, pieces) => store.add(registry, pieces, 'named'),
    confirm: (registry, pieces) => store.add(registry, pieces, 'brought'),
    now: parts.now,
  });
  /**
   * Image, as the question spells its id, -> the repositories at which it is shown from end to end. Cutting
   * the id to what all spellings share would cost more than the look itself.
   */
  const whole = new Map<string, Set<string>>();
  /** Images that came and did not tell their pieces: asked again with every list. */
  const unreadable = new Set<string>();
  let doubts = 0;

  function counts(registry: string, piece: string): boolean {
    const holding = store.holding(registry, piece);
    if (holding === 'shown' || !parts.believesNew) return holding === 'shown';
    return holding === 'brought' || provenance.isBroughtLately(registry, piece);
  }

  function isWhollyShown(imageRef: string, repository: string): boolean {
    if (whole.get(imageRef)?.has(repository)) return true;
    const image = index.image(imageRef);
    if (image === undefined || !isShown(image, repository)) return false;
    const repositories = whole.get(imageRef) ?? new Set();
    whole.set(imageRef, repositories.add(repository));
    return true;
  }

  function isShown(image: Pick<NodeImage, 'imageRef' | 'pieces'>, repository: string): boolean {
    if (!match.isMatched(image.imageRef, repository)) return false;
    const registry = hostOf(repository);
    return piecesOf(image).every((piece) => counts(registry, piece));
  }

  /**
   * What is new in a list, whether all of it could be read, and what only has other names of the same
   * registries.
   */
  async function read(listed: readonly RuntimeImage[]) {
    const queue = new PQueue({ concurrency: AT_ONCE });
    const news: NodeImage[] = [];
    const others: NodeImage[] = [];
    let isComplete = true;
    async function readNew(id: string, names: Pick<NodeImage, 'names' | 'registries'>): Promise<void> {
      const pieces = await piecesOfNew(id);
      if (pieces) news.push({ imageRef: id, ...names, pieces });
      else if (!unreadable.has(imageIdKey(id))) isComplete = false;
      if (pieces) unreadable.delete(imageIdKey(id));
      else unreadable.add(imageIdKey(id));
    }
    const reading = listed.map(async (image) => {
      const names = namesOf(image);
      const known = index.image(image.id);
      if (known === undefined) return queue.add(() => readNew(image.id, names));
      if (isSame(names.names, known.names) && !match.hasOtherManifests(image)) return undefined;
      const isNews = names.registries.some((registry) => !known.registries.includes(registry));
      (isNews ? news : others).push({ ...known, ...names });
      return undefined;
    });
    await Promise.all(reading);
    return { news, others, isComplete };
  }

  /** Undefined for one image that cannot be read. @throws RuntimeError where the runtime is away */
  async function piecesOfNew(id: string) {
    try {
      return (await runtime.imagePieces(id)).pieces;
    } catch (error) {
      if (!(error instanceof RuntimeError) || error.reason !== 'failed') throw error;
      return undefined;
    }
  }

  /**
   * What the runtime has noted about the pieces of these images, also by pulls that are still under way;
   * undefined where it keeps no such notes. @throws RuntimeError where the runtime is away
   */
  async function notesOn(images: readonly NodeImage[]): Promise<BlobsOfPieces | undefined> {
    const pieces = new Set(images.filter(isUnproven).flatMap(piecesOf));
    if (pieces.size === 0) return new Map();
    try {
      return await runtime.blobsOfPieces([...pieces]);
    } catch (error) {
      if (!(error instanceof RuntimeError) || isAway(error)) throw error;
      return new Map();
    }
  }

  /** Is there something about this image that only the runtime's notes can tell? */
  function isUnproven(image: NodeImage): boolean {
    const { imageRef, names } = image;
    if (!names.every((repository) => match.isMatched(imageRef, repository))) return true;
    return parts.believesNew && !piecesOf(image).every(store.isKnown);
  }

  async function takeIn(): Promise<void> {
    const listed = await runtime.listImages();
    const { news, others, isComplete } = await read(listed);
    const blobs = await notesOn([...news, ...others]);
    const listing = new Map(listed.map((image) => [imageIdKey(image.id), image]));
    const arrived = [...news, ...others].flatMap((image) => {
      const names = listing.get(imageIdKey(image.imageRef));
      return names ? [{ image, listed: names }] : [];
    });
    await match.compare(arrived, { blobs, isKnown: store.isKnown, isComplete });
    const pulledFrom = pullersIn(blobs);
    for (const image of [...news, ...others]) index.put(image);
    const contested = provenance.arrived(news, { isComplete, pulledFrom });
    provenance.sweep();
    if (contested.length > 0) doubt(contested);
    lastListed = new Set(listed.map(({ id }) => imageIdKey(id)));
  }

  function doubt(pieces: readonly string[]): void {
    doubts += 1;
    const images = index.imagesWith(pieces);
    whole.clear();
    parts.onDoubt(images.map(({ imageRef }) => imageRef));
  }

  let lastListed: ReadonlySet<string> = new Set();
  let looking: Promise<void> | undefined;
  let nextLook: Promise<void> | undefined;

  /** One after the other; whoever asks while one is under way shares the next with all who do. */
  function look(): Promise<void> {
    if (nextLook) return nextLook;
    const before = looking ?? Promise.resolve();
    const begun: Promise<void> = before
      .catch(() => undefined)
      .then(() => {
        nextLook = undefined;
        looking = begun;
        return takeIn();
      });
    nextLook = begun;
    return begun;
  }

  return {
    look,
    async notice(imageRef) {
      // Whatever came with it, or just before it, is to be seen before anything is said about it.
      await look();
      return index.image(imageRef);
    },
    isWhollyShown,
    isListedUnder: index.isListedUnder,
    async isOnRecord(imageRef, repository) {
      if (index.has(imageRef)) return isWhollyShown(imageRef, repository);
      const { pieces } = await runtime.imagePieces(imageRef);
      return pieces !== undefined && isShown({ imageRef, pieces }, repository);
    },
    notShown(imageRef, repository) {
      const image = index.image(imageRef);
      if (image === undefined) return [];
      const registry = hostOf(repository);
      const unmatched = match.unmatched(imageRef, repository);
      return piecesOf(image).filter((piece) => !counts(registry, piece) || unmatched.includes(piece));
    },
    imagesWith: index.imagesWith,
    hostsOf: store.hosts,
    shown(imageRef, repository, pieces) {
      store.add(hostOf(repository), pieces, 'shown');
      match.shown(imageRef, repository, pieces);
    },
    doubts: () => doubts,
    async keepOnly(imageRefs) {
      await look();
      const kept = new Set(imageRefs.map(imageIdKey));
      for (const key of index.imageRefs()) {
        if (kept.has(key) || lastListed.has(key)) continue;
        index.remove(key);
        whole.clear();
      }
      for (const key of unreadable) if (!lastListed.has(key)) unreadable.delete(key);
      store.keepOnly(index.pieces());
      match.forgetAllBut(index.imageRefs());
    },
  };
}

/** The normalized repositories that the runtime lists an image under, and the hosts of their registries. */
function namesOf({ repoTags, repoDigests }: RuntimeImage): Pick<NodeImage, 'names' | 'registries'> {
  const names = [...new Set([...repoTags, ...repoDigests].flatMap((name) => repositoryOf(name) ?? []))];
  const registries = [...new Set(names.map(hostOf))];
  return { names, registries };
}

/** Piece -> the host names of the registries whose pulls have had a blob of it in their hands. */
function pullersIn(blobs: BlobsOfPieces | undefined): Circumstances['pulledFrom'] {
  const pullers = Array.from(blobs ?? [], ([piece, holding]) => {
    const hosts = holding.flatMap(({ pulledFor }) => pulledFor.map(hostOf));
    return [piece, new Set(hosts)] as const;
  });
  return new Map(pullers);
}

function isAway({ reason }: RuntimeError): boolean {
  return reason === 'unreachable' || reason === 'deadline';
}

function isSame(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((one, at) => one === others[at]);
}
