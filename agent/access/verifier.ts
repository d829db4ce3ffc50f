import { ImageNameError, RecordStoreError, RuntimeError } from '../errors.ts';
import { isImageId } from '../image/image-id.ts';
import { parseImageName, trimImageName } from '../image/reference.ts';
import type { PullPolicy } from '../pods/pod-source.ts';
import type { RecordStore } from '../records/record-store.ts';
import type { ImagePullSecret } from '../records/types.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { type Name, namesOfContent } from './names.ts';
import type { PodCredential, PodCredentialsReader } from './pod-credentials.ts';
import { createProve } from './proof/prove.ts';
import type { Repuller } from './proof/repull.ts';
import { createLookup } from './record/lookup.ts';
import type { VerificationPolicy } from './record/policy.ts';
import type { AccessRequest, CheckResult } from './request.ts';
import { allowed, denied, unverifiable, type Verdict } from './verdict.ts';

/** What is done with a secret that was good for a pull and has been changed since; `trust` is kubelet's way. */
export type RotatedSecrets = 'trust' | 'verify' | 'deny';

export type VerifierOptions = {
  readonly store: RecordStore;
  readonly runtime: Pick<Runtime, 'imageStatus'>;
  readonly policy: VerificationPolicy;
  readonly rotatedSecrets: RotatedSecrets;
  readonly readCredentials: PodCredentialsReader;
  readonly repull: Repuller;
  readonly onCheck: (result: CheckResult) => void;
  readonly onEnsured: (pullPolicy: PullPolicy, presentLocally: boolean, pullRequired: boolean) => void;
  readonly onRecordStoreError: (error: RecordStoreError) => void;
};

export type Access = {
  readonly verdict: Verdict;
  /** The verdict stands for now and is being verified: what came of it. Never rejects. */
  readonly revision?: Promise<Verdict>;
};

export type Verifier = {
  /** The verdict on one container. Asks the registry only where neither policy nor record answers. Never throws. */
  ensureAccess(request: AccessRequest): Promise<Access>;
  /** Resolves when nothing that was begun in the background is left. */
  idle(): Promise<void>;
};

type Judged = Access & { readonly pullRequired: boolean };

/** Composes kubelet's EnsureImageExists for content that is present (pkg/kubelet/images/image_manager.go). */
export function createVerifier(options: VerifierOptions): Verifier {
  const { store, policy, rotatedSecrets } = options;
  const lookup = createLookup({ ...options, noticeRotation: rotatedSecrets !== 'trust', remember });
  const prove = createProve(options);
  const background = new Set<Promise<unknown>>();

  async function judgeContent(request: AccessRequest): Promise<Judged> {
    const { image, imagePullPolicy } = request.container;
    const found = await lookup(request, image, repositoryOfSpec(image) ?? '');
    if (found.verdict === 'rotated') return judgeRotated(request, image, found.credential);
    const byNameAlone = found.verdict === 'allowed' && policyGoesByName(policy, found);
    if (found.verdict !== 'mustAuthenticate' && !byNameAlone) return { verdict: found, pullRequired: false };

    const listed = await options.runtime.imageStatus(request.imageRef);
    if (listed === undefined) return { verdict: imageNotPresent, pullRequired: true };
    const names = namesOfContent(image, listed);
    if (names.kind === 'invalid')
      return { verdict: unverifiable('imageNameInvalid', names.message), pullRequired: true };
    if (names.kind === 'others') return judgeOtherNames(request, names.names);
    if (found.verdict === 'allowed') return { verdict: found, pullRequired: false };
    const verdict =
      imagePullPolicy === 'Never' ? neverWithoutRecord(request) : await prove(request, names.name);
    return { verdict, pullRequired: true };
  }

  /** The spec does not name this content: any name that the runtime lists for it will do, if the pod may pull that. */
  async function judgeOtherNames(request: AccessRequest, names: readonly Name[]): Promise<Judged> {
    if (names.length === 0 && store.isPreloaded(request.imageRef, '')) {
      return {
        verdict: allowed('preloaded', 'the image was on the node before Pullwarden'),
        pullRequired: false,
      };
    }
    let unsettled: Verdict | undefined;
    const toProve: Name[] = [];
    for (const name of names) {
      const found = await lookup(request, name.image, name.repository);
      if (found.verdict === 'allowed') return { verdict: found, pullRequired: false };
      if (found.verdict === 'rotated') return judgeRotated(request, name.image, found.credential);
      if (found.verdict === 'mustAuthenticate') toProve.push(name);
      else unsettled ??= found;
    }
    if (request.container.imagePullPolicy === 'Never') {
      return { verdict: unsettled ?? neverWithoutRecord(request), pullRequired: true };
    }
    for (const name of toProve) {
      const verdict = await prove(request, name);
      if (verdict.verdict === 'allowed') return { verdict, pullRequired: true };
      if (verdict.verdict === 'unverifiable') unsettled ??= verdict;
    }
    return { verdict: unsettled ?? imageMismatch(request), pullRequired: true };
  }

  /**
   * Kubelet trusts the coordinates of a secret and writes down its new, unverified hash. Here the hash vouches for
   * nobody before the registry has granted it; until then `verify` lets the container run, and `deny` waits.
   */
  async function judgeRotated(
    request: AccessRequest,
    image: string,
    credential: PodCredential,
  ): Promise<Judged> {
    const verified = verifyRotated(request, image, credential);
    if (rotatedSecrets === 'deny') return { verdict: await verified, pullRequired: true };
    const { namespace, name } = credential.secret;
    const message = `secret ${namespace}/${name} was good for this image and has been changed since; it is being verified`;
    return {
      verdict: allowed('recordMatched', message),
      revision: inBackground(verified),
      pullRequired: false,
    };
  }

  /**
   * A refusal takes the secret out of the record, unless it was repaired meanwhile and now is what the record vouches
   * for; then the pod is judged by what it has. A secret that was changed once more is verified once more.
   */
  async function verifyRotated(
    request: AccessRequest,
    image: string,
    credential: PodCredential,
  ): Promise<Verdict> {
    try {
      const listed = await options.runtime.imageStatus(request.imageRef);
      if (listed === undefined) return imageNotPresent;
      const names = namesOfContent(image, listed);
      if (names.kind !== 'spec') return imageMismatch(request);
      const verdict = await prove(request, names.name, credential);
      if (verdict.verdict !== 'denied') return verdict;
      if (!(await isRepaired(request, image, names.name, credential))) {
        remember(() => store.revokeSecret(request.imageRef, trimImageName(image), credential.secret));
      }
      const besides = await judgeContent(request);
      return (await besides.revision) ?? besides.verdict;
    } catch (error) {
      return verdictOfError(error);
    }
  }

  /** Does the secret of a credential that was refused hold what the record vouches for? Prove has just read it again. */
  async function isRepaired(
    request: AccessRequest,
    image: string,
    { repository }: Name,
    { secret: refused }: PodCredential,
  ): Promise<boolean> {
    const read = await options.readCredentials(request.pod, repository);
    if ('verdict' in read) return false;
    const entry = store.pulledRecord(request.imageRef)?.credentialMapping.get(trimImageName(image));
    const recorded = entry?.kubernetesSecrets?.find((secret) =>
      isSameSecret(secret, refused),
    )?.credentialHash;
    if (recorded === undefined || recorded === '' || recorded === refused.credentialHash) return false;
    return read.credentials.some(
      ({ secret }) => isSameSecret(secret, refused) && secret.credentialHash === recorded,
    );
  }

  /**
   * Kubelet has just pulled with the pod's credentials, but did not tell us with which: verify once in the background,
   * so that a later pod with the same right and pull policy Never finds the record that kubelet's own gate would have.
   */
  function learnFromAlways(request: AccessRequest): void {
    const container = { ...request.container, imagePullPolicy: 'IfNotPresent' as const };
    void inBackground(judgeContent({ ...request, container, urgent: false }).catch(() => undefined));
  }

  function inBackground<Result>(work: Promise<Result>): Promise<Result> {
    background.add(work);
    void work.finally(() => background.delete(work));
    return work;
  }

  function remember(write: () => void): void {
    try {
      write();
    } catch (error) {
      if (!(error instanceof RecordStoreError)) throw error;
      options.onRecordStoreError(error);
    }
  }

  return {
    async ensureAccess(request) {
      const pullPolicy = request.container.imagePullPolicy;
      remember(() => store.refresh());
      if (pullPolicy === 'Always') {
        options.onEnsured(pullPolicy, true, true);
        learnFromAlways(request);
        return {
          verdict: allowed(
            'pullPolicyAlways',
            'kubelet has pulled the image with the credentials of this pod',
          ),
        };
      }
      try {
        const { pullRequired, ...access } = await judgeContent(request);
        options.onEnsured(pullPolicy, access.verdict.reason !== 'imageNotPresent', pullRequired);
        return access;
      } catch (error) {
        return { verdict: verdictOfError(error) };
      }
    },
    async idle() {
      while (background.size > 0) await Promise.allSettled(background);
    },
  };
}

const imageNotPresent = unverifiable(
  'imageNotPresent',
  'the runtime no longer has the image, and Pullwarden pulls none that is absent',
);

function isSameSecret(one: ImagePullSecret, other: ImagePullSecret): boolean {
  return one.uid === other.uid && one.namespace === other.namespace && one.name === other.name;
}

function verdictOfError(error: unknown): Verdict {
  if (error instanceof RuntimeError) return unverifiable('runtimeUnavailable', error.message);
  return unverifiable('internalError', error instanceof Error ? error.message : String(error));
}

function repositoryOfSpec(image: string): string | undefined {
  if (isImageId(image)) return undefined;
  try {
    return parseImageName(image).repository;
  } catch (error) {
    if (error instanceof ImageNameError) return undefined;
    throw error;
  }
}

/** An allowlist trusts names; that the content goes by the name must be seen first. */
function policyGoesByName(policy: VerificationPolicy, verdict: Verdict): boolean {
  return policy.name === 'NeverVerifyAllowlistedImages' && verdict.reason === 'verificationPolicy';
}

/** Kubelet's words for an absent image (ErrImageNeverPull), so that a tenant learns nothing of what is on the node. */
function neverWithoutRecord({ container }: AccessRequest): Verdict {
  return denied(
    'neverWithoutRecord',
    `Container image "${container.image}" is not present with pull policy of Never`,
  );
}

function imageMismatch({ container }: AccessRequest): Verdict {
  return denied(
    'imageMismatch',
    `the container does not use ${container.image}, nor anything this pod may pull`,
  );
}
