import { LRUCache } from 'lru-cache';
import { RuntimeError } from '../../errors.ts';
import { imageIdKey } from '../../image/image-id.ts';
import { hostOf } from '../../image/reference.ts';
import type { RegistryClient } from '../../registry/client.ts';
import type { Runtime } from '../../runtime/runtime.ts';
import { nameAt } from '../names.ts';
import type { PodCredentialsReader } from '../pod-credentials.ts';
import type { AccessRequest } from '../request.ts';
import { imageMismatch, type Right } from '../right.ts';
import { type Denied, denied, type Unverifiable, unverifiable } from '../verdict.ts';
import type { Allowance } from './allowance.ts';
import type { ImageLedger } from './image-ledger.ts';
import type { OpenImages } from './open-images.ts';
import { type NodeImage, piecesOf } from './pieces.ts';
import { askToShow, type Shown } from './showing.ts';

/** Has the registry that grants an image ever shown that it holds this content? */
export type Bytes = {
  /**
   * Undefined where every piece of the image is open to everybody or was shown by the registry that granted
   * it; the verdict that takes the place of the right's where not. Never throws.
   */
  ensureShown(request: AccessRequest, right: Right): Promise<NotShown | undefined>;
  /** Did the registry of this repository bring all of the content to the node? */
  wasBroughtBy(imageRef: string, repository: string): boolean;
};

export type NotShown = Denied | Unverifiable;

/**
 * `shown`: what was new to the node when a registry's image arrived counts as shown by it. `always`: it does
 * not, so that every registry shows all that is not open. `off`: nobody is asked for bytes.
 */
export type BytesMode = 'shown' | 'always' | 'off';

/** What came of one showing. */
export type Showing = {
  readonly registry: string;
  readonly namespace: string;
  readonly outcome: Shown['outcome'];
  /** Fetched, of bodies. */
  readonly bytes: number;
};

export type BytesParts = {
  readonly runtime: Pick<Runtime, 'imageStatus'>;
  readonly registry: RegistryClient;
  readonly ledger: ImageLedger;
  readonly readCredentials: PodCredentialsReader;
  readonly allowance: Allowance;
  /** Is the registry of this repository believed without being asked (`--trusted-registries`)? */
  readonly isTrusted: (repository: string) => boolean;
  readonly open: OpenImages;
  /** Once for every image that a registry was asked to show something of. */
  readonly onShown: (showing: Showing) => void;
};

/** A registry that has not shown something is asked again after this (ms); an outage may be over sooner. */
const ASK_AGAIN_MS = 60_000;
const AFTER_OUTAGE_MS = 5_000;
/** Pieces that are open today are looked at again after this (ms). */
const LOOK_AGAIN_MS = 600_000;
const MAX_KEPT = 10_000;
/** As many of a pod's credentials are tried to fetch bytes with. */
const MAX_CREDENTIALS = 5;

/** Nobody asks registries for bytes. */
export const bytesOff: Bytes = { ensureShown: async () => undefined, wasBroughtBy: () => false };

export function createBytes(parts: BytesParts): Bytes {
  const { ledger, allowance } = parts;
  const underWay = new Map<string, Promise<NotShown | undefined>>();
  const failed = new LRUCache<string, NotShown>({ max: MAX_KEPT });
  /**
   * Nothing is left to be shown, because the rest is open: image and repository -> the ledger's doubts at
   * that time.
   */
  const passed = new LRUCache<string, number>({ max: MAX_KEPT, ttl: LOOK_AGAIN_MS });

  /** The pieces that are not shown at this repository, and that are not open to everybody anyway. */
  function missingPieces(imageRef: string, repository: string): ReadonlySet<string> {
    const missing = new Set(ledger.notShown(imageRef, repository));
    if (missing.size === 0) return missing;
    /** Piece -> the registries that grant it to everybody. */
    const granting = new Map<string, Set<string>>();
    for (const image of ledger.imagesWith(missing)) {
      const isOpen = parts.open.isOpen(image);
      const registries = isOpen ? [] : parts.open.grantedToAllBy(image);
      if (!isOpen && registries.length === 0) continue;
      for (const piece of piecesOf(image)) {
        if (isOpen) missing.delete(piece);
        else if (missing.has(piece)) {
          granting.set(piece, new Set([...(granting.get(piece) ?? []), ...registries]));
        }
      }
    }
    // Nobody knows which of several registries brought it, but each of them grants it to everybody: then so
    // does the one that did.
    for (const [piece, registries] of granting) {
      const hosts = ledger.hostsOf(piece);
      if (hosts.length > 0 && hosts.every((host) => registries.has(host))) missing.delete(piece);
    }
    return missing;
  }

  async function find(request: AccessRequest, right: Right): Promise<NotShown | undefined> {
    const { imageRef } = request;
    const { repository } = right;
    const registry = hostOf(repository);
    if (!mustBeListed(right) && (await ledger.isOnRecord(imageRef, repository))) return undefined;
    const doubts = ledger.doubts();
    const image = await ledger.notice(imageRef);
    if (image === undefined)
      return unverifiable('runtimeUnavailable', 'the runtime does not say what the image consists of');
    if (mustBeListed(right) && !image.names.includes(repository)) return imageMismatch(request);
    if (parts.isTrusted(repository)) return undefined;
    const missing = missingPieces(imageRef, repository);
    if (missing.size === 0) {
      // A name that comes later may be one whose manifest stands for nothing.
      if (image.names.includes(repository)) passed.set(placeOf(imageRef, repository), doubts);
      return undefined;
    }
    const { namespace } = request.pod;
    return allowance.inPlace({ registry, namespace }, async () => {
      // Another pod, whose turn was before, may have had it shown. Of an image that is gone by now nothing is
      // missing either.
      const left = ledger.isListedUnder(imageRef, repository) ? missingPieces(imageRef, repository) : missing;
      return left.size === 0 ? undefined : show(request, right, image, left);
    });
  }

  async function show(
    request: AccessRequest,
    right: Right,
    image: NodeImage,
    missing: ReadonlySet<string>,
  ): Promise<NotShown | undefined> {
    const { imageRef, pod } = request;
    const { repository } = right;
    const registry = hostOf(repository);
    const listed = await parts.runtime.imageStatus(imageRef);
    const name = listed && nameAt(repository, listed);
    if (name === undefined) return notListed(repository);
    const offer = await credentialsFor(request, right);
    if ('verdict' in offer) return offer;
    const left = new Set(missing);
    let bytes = 0;
    let found: Shown | undefined;
    for (const credential of offer.credentials) {
      const budget = allowance.left(pod.namespace);
      const shown = await askToShow(parts.registry, {
        name,
        pieces: image.pieces,
        missing: left,
        credential,
        budget,
      });
      allowance.spend(pod.namespace, shown.bytes);
      bytes += shown.bytes;
      ledger.shown(imageRef, repository, shown.pieces);
      for (const piece of shown.pieces) left.delete(piece);
      // What the registry says to one that it lets in counts for more than that it lets another one not in.
      if (found?.outcome !== 'lacks' || shown.outcome !== 'refused') found = shown;
      // Another credential may be the one that was granted; an outage or a size is the same for all.
      if (shown.outcome !== 'refused' && shown.outcome !== 'lacks') break;
    }
    if (found === undefined) return undefined;
    parts.onShown({ registry, namespace: pod.namespace, outcome: found.outcome, bytes });
    if (found.outcome === 'shown') return undefined;
    return offer.problem ?? verdictOf(found, repository);
  }

  /**
   * The one that was granted just now, or all that the pod may pull with: the record does not keep
   * credentials.
   */
  async function credentialsFor(request: AccessRequest, { credential, repository }: Right) {
    if (credential) return { credentials: [credential], problem: undefined };
    const read = await parts.readCredentials(request.pod, repository);
    if ('verdict' in read) return read;
    const { credentials, problem } = read;
    return { credentials: [...credentials.slice(0, MAX_CREDENTIALS), undefined], problem };
  }

  /** Of everything that a verdict may differ by: two pods of a namespace may have different secrets. */
  function keyOf({ imageRef, pod }: AccessRequest, { repository, credential }: Right): string {
    return JSON.stringify([imageRef, repository, pod.namespace, credential?.key ?? pod.uid]);
  }

  function isKnownToPass(imageRef: string, right: Right): boolean {
    if (mustBeListed(right) && !ledger.isListedUnder(imageRef, right.repository)) return false;
    const { repository } = right;
    if (ledger.isWhollyShown(imageRef, repository) || parts.isTrusted(repository)) return true;
    return passed.get(placeOf(imageRef, repository)) === ledger.doubts();
  }

  return {
    async ensureShown(request, right) {
      if (isForEverybody(right) || isKnownToPass(request.imageRef, right)) return undefined;
      const key = keyOf(request, right);
      const before = failed.get(key);
      if (before) return before;
      const asking =
        underWay.get(key) ??
        find(request, right)
          .catch(verdictOfError)
          .finally(() => underWay.delete(key));
      underWay.set(key, asking);
      const verdict = await asking;
      if (verdict)
        failed.set(key, verdict, { ttl: verdict.verdict === 'denied' ? ASK_AGAIN_MS : AFTER_OUTAGE_MS });
      return verdict;
    },
    wasBroughtBy: ledger.isWhollyShown,
  };
}

function isForEverybody({ verdict: { reason } }: Right): boolean {
  return reason === 'preloaded' || reason === 'verificationPolicy';
}

/** Nobody has seen yet that the content goes by the name of the spec, which may have been edited since. */
function mustBeListed({ verdict: { reason } }: Right): boolean {
  return reason === 'pullPolicyAlways';
}

function placeOf(imageRef: string, repository: string): string {
  return `${imageIdKey(imageRef)}@${repository}`;
}

function notListed(repository: string): NotShown {
  const message = `the runtime does not list the image under ${repository}, which has not shown this content`;
  return unverifiable('imageNotPresent', message);
}

function verdictOf(shown: Exclude<Shown, { outcome: 'shown' }>, repository: string): NotShown {
  switch (shown.outcome) {
    case 'lacks':
      return denied(
        'bytesNotShown',
        `the registry of ${repository} has not shown that it holds this content: ${shown.message}`,
      );
    case 'tooLarge':
      return denied(
        'bytesNotShown',
        `${shown.message}: name the registry of ${repository} in --trusted-registries to believe it`,
      );
    case 'refused':
    case 'unavailable':
      return unverifiable(
        'registryUnavailable',
        `whether the registry of ${repository} holds this content: ${shown.message}`,
      );
  }
}

function verdictOfError(error: unknown): Unverifiable {
  if (error instanceof RuntimeError) return unverifiable('runtimeUnavailable', error.message);
  return unverifiable('internalError', error instanceof Error ? error.message : String(error));
}
