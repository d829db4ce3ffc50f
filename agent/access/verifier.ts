import { RecordStoreError, RuntimeError } from '../errors.ts';
import type { PullPolicy } from '../pods/pod-source.ts';
import type { Bytes } from './bytes/bytes.ts';
import type { AccessRequest } from './request.ts';
import { type FindRight, type Right, type Rotated, repositoryOfSpec } from './right.ts';
import type { SecretRecheck } from './secret-recheck.ts';
import type { StandingOfImages } from './standing.ts';
import { allowed, type Doubt, unverifiable, type Verdict } from './verdict.ts';

/**
 * What is done with a secret that was good for a pull and has been changed since; `trust` is kubelet's way.
 */
export type RotatedSecrets = 'trust' | 'verify' | 'deny';

export type VerifierParts = {
  /** Picks up what another process changed in the records. */
  readonly refreshRecords: () => void;
  readonly findRight: FindRight;
  readonly verifyRotated: (request: AccessRequest, rotated: Rotated) => Promise<Verdict>;
  readonly rotatedSecrets: RotatedSecrets;
  readonly bytes: Bytes;
  readonly standing: StandingOfImages;
  readonly recheck: Pick<SecretRecheck, 'watch'>;
  readonly onEnsured: (pullPolicy: PullPolicy, presentLocally: boolean, pullRequired: boolean) => void;
};

export type Access = {
  readonly verdict: Verdict;
  /** Who gets the benefit of the doubt, where the verdict leaves one. */
  readonly doubt: Doubt;
  /** The verdict stands for now and is being verified: what came of it. Never rejects. */
  readonly revision?: Promise<Verdict>;
};

export type Verifier = {
  /**
   * The verdict on one container. Asks a registry only where neither policy nor record answers. Never
   * throws.
   */
  ensureAccess(request: AccessRequest): Promise<Access>;
  /** Resolves when nothing that was begun in the background is left. */
  idle(): Promise<void>;
};

/**
 * The three questions about every container. Right: does a registry grant this content to what the pod may
 * pull with? Bytes: has that registry shown that it holds the content? Doubt: where nobody can say, who gets
 * the benefit of it?
 */
export function createVerifier(parts: VerifierParts): Verifier {
  const background = new Set<Promise<unknown>>();

  function inBackground<Result>(work: Promise<Result>): Promise<Result> {
    background.add(work);
    void work.finally(() => background.delete(work));
    return work;
  }

  async function verify(request: AccessRequest): Promise<Omit<Access, 'doubt'>> {
    const { imagePullPolicy } = request.container;
    const right = imagePullPolicy === 'Always' ? byKubelet(request) : await parts.findRight(request);
    if (right.kind === 'rotated') return verifyRotation(request, right);
    const isPresent = right.verdict.reason !== 'imageNotPresent';
    parts.onEnsured(imagePullPolicy, isPresent, right.pullRequired);
    if (imagePullPolicy === 'Always') learnFromAlways(request);
    if (right.verdict.verdict !== 'allowed') return { verdict: right.verdict };
    parts.recheck.watch(request, right.cachedVersion);
    return { verdict: (await parts.bytes.ensureShown(request, right)) ?? right.verdict };
  }

  /** Until it is known, `verify` lets the container run, and `deny` waits. The bytes come before either. */
  async function verifyRotation(request: AccessRequest, rotated: Rotated): Promise<Omit<Access, 'doubt'>> {
    const { credential, image } = rotated;
    const { source } = credential;
    const who = source.kind === 'secret' ? `${source.namespace}/${source.name}` : source.kind;
    const verified = inBackground(parts.verifyRotated(request, rotated).catch(verdictOfError));
    const mustWait = parts.rotatedSecrets === 'deny';
    parts.onEnsured(request.container.imagePullPolicy, true, mustWait);
    const message = `secret ${who} was good for this image and has been changed since; it is being verified`;
    const verdict = mustWait ? await verified : allowed('recordMatched', message);
    if (verdict.verdict !== 'allowed') return { verdict };
    const right: Right = {
      kind: 'verdict',
      verdict,
      repository: repositoryOfSpec(image),
      credential,
      pullRequired: mustWait,
    };
    const notShown = await parts.bytes.ensureShown(request, right);
    if (notShown) return { verdict: notShown };
    return mustWait ? { verdict } : { verdict, revision: verified };
  }

  /**
   * Kubelet has just pulled with the pod's credentials, but did not tell with which: verify once in the
   * background, so that a later pod with the same right and pull policy Never finds the record that kubelet's
   * own gate would have.
   */
  function learnFromAlways(request: AccessRequest): void {
    const container = { ...request.container, imagePullPolicy: 'IfNotPresent' as const };
    void inBackground(parts.findRight({ ...request, container, urgent: false }).catch(() => undefined));
  }

  function doubtOf(request: AccessRequest, { verdict }: Omit<Access, 'doubt'>): Doubt {
    const { pod, container, imageRef } = request;
    const doubt = parts.standing.doubtOf({ namespace: pod.namespace, imageRef, image: container.image });
    if (verdict.verdict === 'allowed') parts.standing.granted(request);
    return doubt;
  }

  return {
    async ensureAccess(request) {
      parts.refreshRecords();
      const access = await verify(request).catch((error: unknown) => ({ verdict: verdictOfError(error) }));
      return { ...access, doubt: doubtOf(request, access) };
    },
    async idle() {
      while (background.size > 0) await Promise.allSettled(background);
    },
  };
}

function byKubelet({ container }: AccessRequest): Right {
  return {
    kind: 'verdict',
    verdict: allowed('pullPolicyAlways', 'kubelet has pulled the image with the credentials of this pod'),
    repository: repositoryOfSpec(container.image),
    pullRequired: true,
  };
}

function verdictOfError(error: unknown): Verdict {
  if (error instanceof RuntimeError) return unverifiable('runtimeUnavailable', error.message);
  if (error instanceof RecordStoreError) return unverifiable('internalError', error.message);
  return unverifiable('internalError', error instanceof Error ? error.message : String(error));
}
