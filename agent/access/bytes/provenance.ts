import { type NodeImage, piecesOf } from './pieces.ts';

/**
 * Which registry brought which piece to the node. A runtime fetches no more than it lacks: what was new to the node
 * when an image of one registry arrived was fetched from it; what was there already was not, and shows nothing.
 *
 * Being first proves something only when nobody else brings the same piece soon after: a pull takes time, and a second
 * pull of the same layer waits for the first and fetches nothing. So what was new counts for its registry at once, and
 * for good only once it has been there for longer than a pull takes.
 */
export type Provenance = {
  /**
   * Images that were not there when last looked, or are listed under more registries than then. Of those that come in
   * one call nobody knows which was first.
   *
   * @returns pieces that do not count as shown any longer, because another registry brought them as well
   */
  arrived(images: readonly NodeImage[]): readonly string[];
  /** Does this piece count as brought by this registry, for good or for now? */
  isBroughtBy(registry: string, piece: string): boolean;
  /** No image has these any longer. */
  forget(pieces: readonly string[]): void;
  /** What has been there long enough is handed to `settle`. Call it now and then. */
  sweep(): void;
};

export type ProvenanceParts = {
  /** What counts for good, by being shown or by having been first for long enough; on record. */
  readonly shown: { isShown(registry: string, piece: string): boolean; isKnown(piece: string): boolean };
  /** These are on the node; who brought them is not said, so that after a restart nobody is believed to have. */
  readonly know: (pieces: readonly string[]) => void;
  readonly settle: (registry: string, pieces: readonly string[]) => void;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
};

/** The time that a pull may take; kubelet gives up on one that makes no progress for less. */
const PULL_MAY_TAKE_MS = 600_000;

type Newcomer = { readonly registry: string; readonly at: number };

export function createProvenance({ shown, know, settle, now }: ProvenanceParts): Provenance {
  /** Pieces that came lately, each from one registry as far as is known. */
  const lately = new Map<string, Newcomer>();
  function claim(piece: string, registries: ReadonlySet<string>): boolean {
    const newcomer = lately.get(piece);
    if (newcomer) {
      const others = [...registries].some((registry) => registry !== newcomer.registry);
      if (!others || now() - newcomer.at >= PULL_MAY_TAKE_MS) return false;
      lately.delete(piece);
      return true;
    }
    // What was there already was fetched from nobody, and what several brought at once is nobody's.
    if (shown.isKnown(piece)) return false;
    const [registry] = registries;
    if (registries.size === 1 && registry !== undefined) lately.set(piece, { registry, at: now() });
    return false;
  }

  return {
    arrived(images) {
      const claims = new Map<string, Set<string>>();
      for (const image of images) {
        for (const piece of piecesOf(image)) {
          const registries = claims.get(piece) ?? new Set();
          claims.set(piece, registries);
          for (const registry of image.registries) registries.add(registry);
        }
      }
      const contested = [...claims].flatMap(([piece, registries]) =>
        claim(piece, registries) ? [piece] : [],
      );
      know([...claims.keys()]);
      return contested;
    },
    isBroughtBy: (registry, piece) =>
      lately.get(piece)?.registry === registry || shown.isShown(registry, piece),
    forget(pieces) {
      for (const piece of pieces) lately.delete(piece);
    },
    sweep() {
      const due = new Map<string, string[]>();
      for (const [piece, { registry, at }] of lately) {
        if (now() - at < PULL_MAY_TAKE_MS) continue;
        lately.delete(piece);
        const pieces = due.get(registry) ?? [];
        pieces.push(piece);
        due.set(registry, pieces);
      }
      for (const [registry, pieces] of due) settle(registry, pieces);
    },
  };
}
