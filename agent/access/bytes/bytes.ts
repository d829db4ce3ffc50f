import { LRUCache } from 'lru-cache';
import { RuntimeError } from '../../errors.ts';
import { imageIdKey } from '../../image/image-id.ts';
import type { RegistryClient } from '../../registry/client.ts';
import type { Runtime, RuntimeImage } from '../../runtime/runtime.ts';
import { namesOfContent } from '../names.ts';
import type { PodCredential } from '../pod-credential.ts';
import type { PodCredentialsReader } from '../pod-credentials.ts';
import type { AccessRequest } from '../request.ts';
import type { Right } from '../right.ts';
import { denied, unverifiable, type Verdict } from '../verdict.ts';
import type { Allowance } from './allowance.ts';
import type { ImageLedger } from './image-ledger.ts';
import { askToShow, type Shown } from './showing.ts';

/** Has the registry that grants an image ever shown that it holds this content? */
export type Bytes = {
  /**
   * Undefined where every piece of the image is open to everybody or was shown by the registry that granted it; the
   * verdict that takes the place of the right's where not. Never throws.
   */
  ensureShown(request: AccessRequest, right: Right): Promise<Verdict | undefined>;
  /** Did this registry bring all of the content to the node? */
  wasBroughtBy(imageRef: string, registry: string): boolean;
};

/**
 * `shown`: what was new to the node when a registry's image arrived counts as shown by it. `always`: it does not, so
 * that every registry shows all that is not open. `off`: nobody is asked for bytes.
 */
export type BytesMode = 'shown' | 'always' | 'off';

export type BytesParts = {
  readonly mode: Exclude<BytesMode, 'off'>;
  readonly runtime: Pick<Runtime, 'imageStatus'>;
  readonly registry: RegistryClient;
  readonly ledger: ImageLedger;
  readonly readCredentials: PodCredentialsReader;
  readonly allowance: Allowance;
  /** Registries, or repositories below them, that are believed without being asked. */
  readonly trustedRegistries: readonly string[];
  /** Is this image open to every pod, so that its pieces need no showing? */
  readonly isOpen: (imageRef: string) => boolean;
  readonly onShown: (registry: string, outcome: Shown['outcome'], bytes: number) => void;
};

/** A registry that could not show something is asked again after this (ms). */
const ASK_AGAIN_MS = 60_000;
const MAX_KEPT = 10_000;
/** As many of a pod's credentials are tried to fetch bytes with. */
const MAX_CREDENTIALS = 5;

/** Nobody asks registries for bytes. */
export const bytesOff: Bytes = { ensureShown: async () => undefined, wasBroughtBy: () => false };

export function createBytes(parts: BytesParts): Bytes {
  const { ledger } = parts;
  const underWay = new Map<string, Promise<Verdict | undefined>>();
  const failed = new LRUCache<string, Verdict>({ max: MAX_KEPT, ttl: ASK_AGAIN_MS });

  function isTrusted(repository: string): boolean {
    return parts.trustedRegistries.some(
      (prefix) => repository === prefix || repository.startsWith(`${prefix}/`),
    );
  }

  /** The pieces that this registry has not shown, and that are not open to everybody anyway. */
  function missingPieces(imageRef: string, registry: string): ReadonlySet<string> {
    const pieces = ledger.notShown(imageRef, registry);
    return new Set(
      pieces.filter((piece) => !ledger.imagesWith(piece).some(({ imageRef: other }) => parts.isOpen(other))),
    );
  }

  async function show(request: AccessRequest, right: Right): Promise<Verdict | undefined> {
    const { imageRef } = request;
    const registry = registryOf(right.repository);
    if (await ledger.isOnRecord(imageRef, registry)) return undefined;
    const known = await ledger.notice(imageRef);
    if (known === undefined)
      return unverifiable('runtimeUnavailable', 'the runtime does not say what the image consists of');
    const missing = missingPieces(imageRef, registry);
    if (missing.size === 0) return undefined;
    const listed = await parts.runtime.imageStatus(imageRef);
    const name = listed && nameAt(right.repository, request, listed);
    if (name === undefined) return unverifiable('imageNotPresent', 'the runtime no longer has the image');
    return parts.allowance.inPlace(registry, async () => {
      const { namespace } = request.pod;
      let refusal: Verdict | undefined;
      for (const credential of await credentialsFor(request, right)) {
        const budget = parts.allowance.left(namespace);
        const shown = await askToShow(parts.registry, {
          name,
          imageRef,
          pieces: known.pieces,
          missing,
          credential,
          budget,
        });
        parts.allowance.spend(namespace, shown.bytes);
        parts.onShown(registry, shown.outcome, shown.bytes);
        ledger.shown(registry, shown.pieces);
        if (shown.outcome === 'shown') return undefined;
        const verdict = verdictOf(shown, right.repository);
        // Another credential may be the one that was granted; an outage or a size is the same for all.
        if (shown.outcome !== 'lacks') return verdict;
        refusal ??= verdict;
      }
      return refusal;
    });
  }

  /** The one that was granted just now, or what the pod may pull with: the record does not keep credentials. */
  async function credentialsFor(
    request: AccessRequest,
    { credential, repository }: Right,
  ): Promise<readonly (PodCredential | undefined)[]> {
    if (credential) return [credential];
    const read = await parts.readCredentials(request.pod, repository);
    const offered = 'verdict' in read ? [] : read.credentials.slice(0, MAX_CREDENTIALS);
    return offered.length > 0 ? offered : [undefined];
  }

  return {
    async ensureShown(request, right) {
      const { imageRef } = request;
      const { reason } = right.verdict;
      if (reason === 'preloaded' || reason === 'verificationPolicy' || isTrusted(right.repository))
        return undefined;
      const registry = registryOf(right.repository);
      if (registry === '' || ledger.isWhollyShown(imageRef, registry)) return undefined;
      const key = `${imageIdKey(imageRef)}@${right.repository} ${request.pod.namespace}`;
      const before = failed.get(key);
      if (before) return before;
      const asking =
        underWay.get(key) ??
        show(request, right)
          .catch(verdictOfError)
          .finally(() => underWay.delete(key));
      underWay.set(key, asking);
      const verdict = await asking;
      if (verdict) failed.set(key, verdict);
      return verdict;
    },
    wasBroughtBy: (imageRef, registry) => ledger.isWhollyShown(imageRef, registry),
  };
}

function nameAt(repository: string, { container }: AccessRequest, listed: RuntimeImage) {
  const names = namesOfContent(container.image, listed);
  if (names.kind === 'spec') return names.name;
  return names.kind === 'others' ? names.names.find((name) => name.repository === repository) : undefined;
}

function verdictOf(shown: Exclude<Shown, { outcome: 'shown' }>, repository: string): Verdict {
  switch (shown.outcome) {
    case 'lacks':
      return denied(
        'bytesNotShown',
        `the registry of ${repository} has not shown this content: ${shown.message}`,
      );
    case 'tooLarge':
      return denied(
        'bytesNotShown',
        `${shown.message}: name the registry of ${repository} in --trusted-registries to believe it`,
      );
    case 'unavailable':
      return unverifiable('registryUnavailable', `whether the registry holds this content: ${shown.message}`);
  }
}

function verdictOfError(error: unknown): Verdict {
  if (error instanceof RuntimeError) return unverifiable('runtimeUnavailable', error.message);
  return unverifiable('internalError', error instanceof Error ? error.message : String(error));
}

function registryOf(repository: string): string {
  return repository.slice(0, Math.max(0, repository.indexOf('/')));
}
