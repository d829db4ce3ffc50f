import { isImageId } from '../image/image-id.ts';
import { ImageNameError, parseImageName } from '../image/reference.ts';
import type { Pod, PodContainer, PullPolicy } from '../pods/source.ts';
import { type RecordStore, RecordStoreError } from '../records/store.ts';
import { type Runtime, RuntimeError } from '../runtime/runtime.ts';
import { checkAccess } from './check.ts';
import type { Decision } from './decide.ts';
import { type Name, namesOfContent } from './names.ts';
import type { PodCredentialsReader } from './pod-credentials.ts';
import type { VerificationPolicy } from './policy.ts';
import type { Repuller } from './repull.ts';
import { allowed, denied, unverifiable, type Verdict } from './verdict.ts';

/** One container's request: may its pod use this content? */
export type AccessRequest = {
  readonly pod: Pod;
  readonly container: Pick<PodContainer, 'name' | 'image' | 'imagePullPolicy'>;
  /** The image id of the content that the container really uses. */
  readonly imageRef: string;
  /** False for containers that ran before anyone asked. */
  readonly urgent: boolean;
};

/** Kubelet's words for how a check ended (image_mustpull_checks_total). */
export type CheckResult = 'credentialPolicyAllowed' | 'credentialRecordFound' | 'mustAuthenticate' | 'error';

export type VerifierOptions = {
  readonly store: RecordStore;
  readonly runtime: Pick<Runtime, 'imageStatus'>;
  readonly policy: VerificationPolicy;
  readonly readCredentials: PodCredentialsReader;
  readonly repull: Repuller;
  readonly onCheck: (result: CheckResult) => void;
  readonly onEnsured: (pullPolicy: PullPolicy, presentLocally: boolean, pullRequired: boolean) => void;
  readonly onRecordStoreError: (error: RecordStoreError) => void;
};

export type Verifier = {
  /** The verdict on one container. Asks the registry only where neither policy nor record answers. Never throws. */
  ensureAccess(request: AccessRequest): Promise<Verdict>;
  /** Resolves when nothing that was begun in the background is left. */
  idle(): Promise<void>;
};

/** How a look-up of policy and record ended, before any registry is asked. */
type Checked = Verdict | { readonly verdict: 'mustAuthenticate' };

const mustAuthenticate: Checked = { verdict: 'mustAuthenticate' };

/** Composes kubelet's EnsureImageExists for content that is present (pkg/kubelet/images/image_manager.go). */
export function createVerifier(options: VerifierOptions): Verifier {
  const { store, policy, readCredentials, repull } = options;
  const background = new Set<Promise<unknown>>();

  /** Policy, inventory and record for one name of the content; a match may teach the record new coordinates. */
  async function check(request: AccessRequest, image: string, repository: string): Promise<Checked> {
    const about = { image, imageRef: request.imageRef };
    let result = checkAccess(store, policy, about);
    if (result.result === 'needsPodCredentials') {
      const read = await readCredentials(request.pod, repository);
      if ('verdict' in read) {
        options.onCheck('error');
        return read;
      }
      result = checkAccess(store, policy, about, { secrets: read.credentials.map(({ secret }) => secret) });
    }
    return checkedOf(about, result);
  }

  function checkedOf(about: { image: string; imageRef: string }, result: Decision): Checked {
    switch (result.result) {
      case 'credentialPolicyAllowed':
        options.onCheck(result.result);
        return result.reason === 'preloaded'
          ? allowed('preloaded', 'the image was on the node before Pullwarden')
          : allowed('verificationPolicy', `policy ${policy.name} asks for no verification`);
      case 'credentialRecordFound': {
        options.onCheck(result.result);
        const learn = 'learn' in result ? result.learn : undefined;
        if (learn) remember(() => store.mergeCredentials(about.image, about.imageRef, learn));
        return allowed('recordMatched', 'these credentials, or everyone, were granted this image before');
      }
      case 'error':
        options.onCheck('error');
        return mustAuthenticate;
      case 'mustAuthenticate':
      case 'needsPodCredentials':
        options.onCheck('mustAuthenticate');
        return mustAuthenticate;
    }
  }

  /** Asks the registry with the pod's credentials; a refusal counts only when the secrets are still what they were. */
  async function prove(request: AccessRequest, name: Name): Promise<Verdict> {
    if (request.container.imagePullPolicy === 'Never') return neverWithoutRecord(request);
    let read = await readCredentials(request.pod, name.repository);
    for (;;) {
      if ('verdict' in read) return read;
      const answer = await repull({
        name,
        imageRef: request.imageRef,
        credentials: read.credentials,
        urgent: request.urgent,
      });
      if (answer.answer === 'granted')
        return allowed('repullSucceeded', `the registry granted ${name.repository} to this pod`);
      const again = await readCredentials(request.pod, name.repository, { fresh: true });
      if ('verdict' in again || again.version === read.version) {
        return answer.answer === 'unverifiable'
          ? unverifiable(answer.reason, answer.message)
          : denied('registryRefused', refusal(name, read.credentials.length, read.missing, answer.message));
      }
      read = again;
    }
  }

  /** The spec does not name this content: any name that the runtime lists for it will do, if the pod may pull that. */
  async function proveAnyName(request: AccessRequest, names: readonly Name[]): Promise<Verdict> {
    if (names.length === 0 && store.isPreloaded(request.imageRef, '')) {
      return allowed('preloaded', 'the image was on the node before Pullwarden');
    }
    let unsettled: Verdict | undefined;
    const toProve: Name[] = [];
    for (const name of names) {
      const checked = await check(request, name.image, name.repository);
      if (checked.verdict === 'allowed') return checked;
      if (checked.verdict === 'mustAuthenticate') toProve.push(name);
      else unsettled ??= checked;
    }
    if (request.container.imagePullPolicy === 'Never') return unsettled ?? neverWithoutRecord(request);
    for (const name of toProve) {
      const verdict = await prove(request, name);
      if (verdict.verdict === 'allowed') return verdict;
      if (verdict.verdict === 'unverifiable') unsettled ??= verdict;
    }
    return (
      unsettled ??
      denied(
        'imageMismatch',
        `the container does not use ${request.container.image}, nor anything this pod may pull`,
      )
    );
  }

  async function judgeContent(request: AccessRequest): Promise<{ verdict: Verdict; pullRequired: boolean }> {
    const { image } = request.container;
    const repository = repositoryOfSpec(image);
    const checked = await check(request, image, repository ?? '');
    const byNameAlone = checked.verdict === 'allowed' && policyGoesByName(policy, checked);
    if (checked.verdict !== 'mustAuthenticate' && !byNameAlone)
      return { verdict: checked, pullRequired: false };

    const listed = await options.runtime.imageStatus(request.imageRef);
    if (listed === undefined) {
      return {
        verdict: unverifiable(
          'imageNotPresent',
          'the runtime no longer has the image, and Pullwarden pulls none that is absent',
        ),
        pullRequired: true,
      };
    }
    const names = namesOfContent(image, listed);
    if (names.kind === 'invalid')
      return { verdict: unverifiable('imageNameInvalid', names.message), pullRequired: true };
    if (names.kind === 'others')
      return { verdict: await proveAnyName(request, names.names), pullRequired: true };
    if (checked.verdict === 'allowed') return { verdict: checked, pullRequired: false };
    return { verdict: await prove(request, names.name), pullRequired: true };
  }

  /**
   * Kubelet has just pulled with the pod's credentials, but did not tell us with which: verify once in the background,
   * so that a later pod with the same right and pull policy Never finds the record that kubelet's own gate would have.
   */
  function learnFromAlways(request: AccessRequest): void {
    const asIfNotPresent = {
      ...request,
      container: { ...request.container, imagePullPolicy: 'IfNotPresent' as const },
      urgent: false,
    };
    const learning: Promise<unknown> = judgeContent(asIfNotPresent)
      .catch(() => undefined)
      .finally(() => background.delete(learning));
    background.add(learning);
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
        return allowed('pullPolicyAlways', 'kubelet has pulled the image with the credentials of this pod');
      }
      try {
        const { verdict, pullRequired } = await judgeContent(request);
        options.onEnsured(pullPolicy, verdict.reason !== 'imageNotPresent', pullRequired);
        return verdict;
      } catch (error) {
        if (error instanceof RuntimeError) return unverifiable('runtimeUnavailable', error.message);
        return unverifiable('internalError', error instanceof Error ? error.message : String(error));
      }
    },
    async idle() {
      while (background.size > 0) await Promise.allSettled(background);
    },
  };
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
function neverWithoutRecord(request: AccessRequest): Verdict {
  return denied(
    'neverWithoutRecord',
    `Container image "${request.container.image}" is not present with pull policy of Never`,
  );
}

function refusal(name: Name, tried: number, missing: readonly string[], answer: string): string {
  const how =
    tried === 0 ? 'anonymously (no credentials of the pod match)' : `with ${tried} credential(s) of the pod`;
  const absent = missing.length > 0 ? `; imagePullSecrets that do not exist: ${missing.join(', ')}` : '';
  return `the registry refused ${name.repository} ${how}${absent}: ${answer}`;
}
