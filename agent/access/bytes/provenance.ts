import { type NodeImage, piecesOf } from './pieces.ts';

/**
 * Which registry brought which piece to the node. A runtime fetches no more than it lacks: what was new to
 * the node when an image of one registry arrived was fetched from it; what was there already was not, and
 * shows nothing.
 *
 * Being first in the list of images is not enough, though. A pull takes time, and a second pull of the same
 * layer waits for the first and fetches nothing, yet may be done and listed sooner. So whoever is first
 * counts for good only where the runtime's own notes name no other pull. Where there are no such notes, it
 * counts for as long as nobody else brings the same piece, and for good once it has been there for longer
 * than a pull takes.
 */
export type Provenance = {
  /**
   * Images that were not there when last looked, or are listed under more registries than then. Of those that
   * come in one call nobody knows which was first.
   *
   * @returns pieces that do not count as brought any longer, because another registry brought them as well
   */
  arrived(images: readonly NodeImage[], known: Circumstances): readonly string[];
  /** Does this piece count as brought by this registry for now, though not yet for good? */
  isBroughtLately(registry: string, piece: string): boolean;
  /** What has been there long enough is handed to `confirm`. Call it now and then. */
  sweep(): void;
};

export type Circumstances = {
  /**
   * False where something else came as well and does not tell its pieces: it may have brought any of these.
   */
  readonly isComplete: boolean;
  /**
   * By piece, the host names (without a port) of the registries whose pulls have had it in their hands, as
   * far as the runtime has noted that.
   */
  readonly pulledFrom: ReadonlyMap<string, ReadonlySet<string>>;
};

export type ProvenanceParts = {
  /** Was this piece on the node before, whoever brought it? From the record, so that a restart changes nothing. */
  readonly isKnown: (piece: string) => boolean;
  /** This registry names these pieces; whether it brought them is not said. */
  readonly know: (registry: string, pieces: readonly string[]) => void;
  /** This registry brought these pieces, and nobody else did. */
  readonly confirm: (registry: string, pieces: readonly string[]) => void;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
};

/** The time that a pull may take; kubelet gives up on one that makes no progress for less. */
const PULL_MAY_TAKE_MS = 600_000;
/** For images that the runtime lists without a name: their pieces are on the node, under no registry. */
const NOBODY = '';

type Newcomer = { readonly registry: string; readonly at: number };

/** `proven`: the runtime's notes name this registry and cannot mean another one. */
type Bringer = { readonly registry: string; readonly isProven: boolean };

export function createProvenance({ isKnown, know, confirm, now }: ProvenanceParts): Provenance {
  /** Pieces that came lately, each from one registry as far as is known. */
  const lately = new Map<string, Newcomer>();

  /** @returns whether somebody else brings what came from one registry lately: then it is nobody's */
  function isContested(piece: string, registries: readonly string[]): boolean {
    const newcomer = lately.get(piece);
    if (newcomer === undefined || now() - newcomer.at >= PULL_MAY_TAKE_MS) return false;
    return registries.some((registry) => registry !== newcomer.registry);
  }

  return {
    arrived(images, { isComplete, pulledFrom }) {
      const contested: string[] = [];
      const proven = new Map<string, string[]>();
      const named = piecesByRegistry(images);
      for (const [piece, claimants] of claimsOf(images)) {
        if (isContested(piece, claimants)) {
          lately.delete(piece);
          contested.push(piece);
          continue;
        }
        // What was there already was fetched from nobody.
        if (isKnown(piece)) continue;
        const hosts = pulledFrom.get(piece);
        const bringer = hosts?.size ? bringerByNotes(hosts, claimants) : bringerByList(isComplete, claimants);
        if (bringer?.isProven) push(proven, bringer.registry, piece);
        else if (bringer) lately.set(piece, { registry: bringer.registry, at: now() });
        for (const host of hosts ?? []) {
          if (!claimants.some((registry) => hostNameOf(registry) === host)) push(named, host, piece);
        }
      }
      for (const [registry, pieces] of named) know(registry, pieces);
      for (const [registry, pieces] of proven) confirm(registry, pieces);
      return contested;
    },
    isBroughtLately: (registry, piece) => lately.get(piece)?.registry === registry,
    sweep() {
      const due = new Map<string, string[]>();
      for (const [piece, { registry, at }] of lately) {
        // The oldest come first.
        if (now() - at < PULL_MAY_TAKE_MS) break;
        lately.delete(piece);
        push(due, registry, piece);
      }
      for (const [registry, pieces] of due) confirm(registry, pieces);
    },
  };
}

/** What several brought at once is nobody's. */
function bringerByList(isComplete: boolean, [registry, ...others]: readonly string[]): Bringer | undefined {
  if (registry === undefined || registry === NOBODY || others.length > 0 || !isComplete) return undefined;
  return { registry, isProven: false };
}

/**
 * What the pulls of several hosts had in their hands was fetched by one of them, whichever is listed by now;
 * what only one had was fetched by that one, though somebody else names it first. The notes tell no port, so
 * that they prove nothing between registries of one host name.
 */
function bringerByNotes(hosts: ReadonlySet<string>, claimants: readonly string[]): Bringer | undefined {
  const [host, ...others] = hosts;
  if (host === undefined || others.length > 0) return undefined;
  const [registry = host, ...more] = claimants.filter((claimant) => hostNameOf(claimant) === host);
  return more.length > 0 ? undefined : { registry, isProven: registry === host };
}

/** As Go's URL.Hostname: without the port, and without the brackets of an IPv6 address. */
function hostNameOf(registry: string): string {
  return registry.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
}

/** Piece -> the registries that it comes under. */
function claimsOf(images: readonly NodeImage[]): Map<string, string[]> {
  const claims = new Map<string, string[]>();
  for (const image of images) {
    for (const piece of piecesOf(image)) {
      for (const registry of registriesOf(image)) {
        if (!claims.get(piece)?.includes(registry)) push(claims, piece, registry);
      }
    }
  }
  return claims;
}

function piecesByRegistry(images: readonly NodeImage[]): Map<string, string[]> {
  const pieces = new Map<string, string[]>();
  for (const image of images) {
    for (const registry of registriesOf(image)) {
      for (const piece of piecesOf(image)) push(pieces, registry, piece);
    }
  }
  return pieces;
}

function registriesOf({ registries }: NodeImage): readonly string[] {
  return registries.length > 0 ? registries : [NOBODY];
}

function push<Key>(lists: Map<Key, string[]>, key: Key, value: string): void {
  const list = lists.get(key);
  if (list) list.push(value);
  else lists.set(key, [value]);
}
