import PQueue from 'p-queue';
import { RuntimeError } from '../../errors.ts';
import { imageIdKey } from '../../image/image-id.ts';
import { hostOf, repositoryOf } from '../../image/reference.ts';
import type { Runtime, RuntimeImage } from '../../runtime/runtime.ts';
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
  /** Has this registry shown every piece? The question of the hot path. */
  isWhollyShown(imageRef: string, registry: string): boolean;
  /** The same by what is on record, before the images of the node have been listed. @throws RuntimeError */
  isOnRecord(imageRef: string, registry: string): Promise<boolean>;
  /** Does the runtime list this image under this repository, as far as is known? */
  isListedUnder(imageRef: string, repository: string): boolean;
  /** The pieces of an image that this registry has not shown. */
  notShown(imageRef: string, registry: string): readonly string[];
  imagesWith(pieces: Iterable<string>): readonly NodeImage[];
  /** Every registry that can have brought this piece. */
  hostsOf(piece: string): readonly string[];
  /** The registry has served these bytes to us. */
  shown(registry: string, pieces: readonly string[]): void;
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
  readonly runtime: Pick<Runtime, 'listImages' | 'imagePieces' | 'pullsOfPieces'>;
  readonly store: ShownStore;
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
  const provenance = createProvenance({
    isKnown: store.isKnown,
    know: (registry, pieces) => store.add(registry, pieces, 'named'),
    confirm: (registry, pieces) => store.add(registry, pieces, 'brought'),
    now: parts.now,
  });
  /**
   * Image, as the question spells its id, -> the registries that have shown it from end to end. Cutting the
   * id to what all spellings share would cost more than the look itself.
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

  function isWhollyShown(imageRef: string, registry: string): boolean {
    if (whole.get(imageRef)?.has(registry)) return true;
    const image = index.image(imageRef);
    if (image === undefined || !piecesOf(image).every((piece) => counts(registry, piece))) return false;
    const registries = whole.get(imageRef) ?? new Set();
    whole.set(imageRef, registries.add(registry));
    return true;
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
      if (isSame(names.names, known.names)) return undefined;
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
   * The host names whose pulls had the new pieces of these images in their hands, also of pulls that are
   * still under way. Empty where the runtime keeps no such notes. @throws RuntimeError where the runtime is
   * away
   */
  async function hostsThatPulled(images: readonly NodeImage[]): Promise<Circumstances['pulledFrom']> {
    const pieces = images.flatMap(piecesOf).filter((piece) => !store.isKnown(piece));
    if (pieces.length === 0 || !parts.believesNew) return new Map();
    try {
      const pulls = (await runtime.pullsOfPieces([...new Set(pieces)])) ?? new Map<string, string[]>();
      return new Map(Array.from(pulls, ([piece, names]) => [piece, new Set(names.map(hostOf))]));
    } catch (error) {
      if (!(error instanceof RuntimeError) || isAway(error)) throw error;
      return new Map();
    }
  }

  async function takeIn(): Promise<void> {
    const listed = await runtime.listImages();
    const { news, others, isComplete } = await read(listed);
    const pulledFrom = await hostsThatPulled(news);
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
    async isOnRecord(imageRef, registry) {
      if (index.has(imageRef)) return isWhollyShown(imageRef, registry);
      const { pieces } = await runtime.imagePieces(imageRef);
      return pieces !== undefined && piecesOf({ pieces }).every((piece) => counts(registry, piece));
    },
    notShown(imageRef, registry) {
      const image = index.image(imageRef);
      return image ? piecesOf(image).filter((piece) => !counts(registry, piece)) : [];
    },
    imagesWith: index.imagesWith,
    hostsOf: store.hosts,
    shown: (registry, pieces) => store.add(registry, pieces, 'shown'),
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
    },
  };
}

/** The normalized repositories that the runtime lists an image under, and the hosts of their registries. */
function namesOf({ repoTags, repoDigests }: RuntimeImage): Pick<NodeImage, 'names' | 'registries'> {
  const names = [...new Set([...repoTags, ...repoDigests].flatMap((name) => repositoryOf(name) ?? []))];
  const registries = [...new Set(names.map(hostOf))];
  return { names, registries };
}

function isAway({ reason }: RuntimeError): boolean {
  return reason === 'unreachable' || reason === 'deadline';
}

function isSame(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((one, at) => one === others[at]);
}
