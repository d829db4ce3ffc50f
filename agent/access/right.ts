import { ImageNameError } from '../errors.ts';
import { isImageId } from '../image/image-id.ts';
import { parseImageName } from '../image/reference.ts';
import type { RecordStore } from '../records/record-store.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { type Name, namesOfContent } from './names.ts';
import type { PodCredential } from './pod-credential.ts';
import type { Prove } from './proof/prove.ts';
import type { Found, Lookup } from './record/lookup.ts';
import type { VerificationPolicy } from './record/policy.ts';
import type { AccessRequest } from './request.ts';
import type { RuntimeGrants } from './runtime-grants.ts';
import { type Allowed, allowed, type Denied, denied, unverifiable, type Verdict } from './verdict.ts';

/** Whether a registry grants the content to what this pod may pull with, and how that is known. */
export type Right = {
  readonly kind: 'verdict';
  readonly verdict: Verdict;
  /** The normalized repository that it was found under: whose registry has to have shown the content. */
  readonly repository: string;
  /** What the registry granted it to, where it was asked just now. */
  readonly credential?: PodCredential | undefined;
  /** Did policy and record leave it open, so that somebody had to be asked? Kubelet's word for its metric. */
  readonly pullRequired: boolean;
  /**
   * The secrets that the verdict rests on, where they came from a cache and may have been changed meanwhile.
   */
  readonly cachedVersion?: string | undefined;
};

/** The record vouches for a secret that has been changed since: this is what it holds now. */
export type Rotated = {
  readonly kind: 'rotated';
  /** The image text that the record was found under. */
  readonly image: string;
  readonly credential: PodCredential;
};

export type FindRight = (request: AccessRequest) => Promise<Right | Rotated>;

export type RightParts = {
  readonly runtime: Pick<Runtime, 'imageStatus'>;
  readonly store: Pick<RecordStore, 'isPreloaded'>;
  readonly policy: VerificationPolicy;
  readonly runtimeGrants: Pick<RuntimeGrants, 'has'>;
  /**
   * May every pod of the node pull from this repository with what the node itself has
   * (`--node-credentials`)?
   */
  readonly isOpenOnNode: (repository: string) => boolean;
  readonly lookup: Lookup;
  readonly prove: Prove;
};

/** Kubelet's EnsureImageExists for content that is present (pkg/kubelet/images/image_manager.go). */
export function createFindRight(parts: RightParts): FindRight {
  const { lookup, prove } = parts;

  /** What is known of one name, without asking anybody. */
  async function known(request: AccessRequest, image: string, repository: string): Promise<Found> {
    const found = await lookup(request, image, repository);
    if (found.result.verdict !== 'mustAuthenticate' || repository === '') return found;
    const { imageRef, pod } = request;
    if (parts.runtimeGrants.has({ namespace: pod.namespace, imageRef, repository })) {
      return { result: allowed('grantedByRuntime', `the runtime was granted ${repository} by itself`) };
    }
    return found;
  }

  async function proveOrRefuse(request: AccessRequest, name: Name): Promise<Right> {
    const { repository } = name;
    if (parts.isOpenOnNode(repository)) {
      const verdict = allowed('nodeCredentials', `the node itself may pull ${repository}`);
      return { kind: 'verdict', verdict, repository, pullRequired: false };
    }
    if (request.container.imagePullPolicy === 'Never') return asked(neverWithoutRecord(request), repository);
    const { verdict, credential } = await prove(request, name);
    return { ...asked(verdict, repository), credential };
  }

  /**
   * The spec does not name this content: any name that the runtime lists for it will do, if the pod may pull
   * that.
   */
  async function underOtherNames(request: AccessRequest, names: readonly Name[]): Promise<Right | Rotated> {
    if (names.length === 0 && parts.store.isPreloaded(request.imageRef, '')) {
      return answered(preloaded, '');
    }
    let open: Verdict | undefined;
    const toProve: Name[] = [];
    for (const name of names) {
      const { result, cachedVersion } = await known(request, name.image, name.repository);
      if (result.verdict === 'allowed') return { ...answered(result, name.repository), cachedVersion };
      if (result.verdict === 'rotated') return rotated(name.image, result.credential);
      if (result.verdict === 'mustAuthenticate') toProve.push(name);
      else open ??= result;
    }
    if (request.container.imagePullPolicy === 'Never') return asked(open ?? neverWithoutRecord(request), '');
    for (const name of toProve) {
      const right = await proveOrRefuse(request, name);
      if (right.verdict.verdict === 'allowed') return right;
      if (right.verdict.verdict === 'unverifiable') open ??= right.verdict;
    }
    return asked(open ?? imageMismatch(request), '');
  }

  return async (request) => {
    const { image } = request.container;
    const specRepository = repositoryOfSpec(image);
    const { result, cachedVersion } = await known(request, image, specRepository);
    if (result.verdict === 'rotated') return rotated(image, result.credential);
    const isByNameAlone = result.verdict === 'allowed' && policyGoesByName(parts.policy, result);
    if (result.verdict !== 'mustAuthenticate' && !isByNameAlone) {
      return { ...answered(result, specRepository), cachedVersion };
    }
    const listed = await parts.runtime.imageStatus(request.imageRef);
    if (listed === undefined) return asked(imageNotPresent, specRepository);
    const names = namesOfContent(image, listed);
    if (names.kind === 'invalid') {
      return asked(unverifiable('imageNameInvalid', names.message), specRepository);
    }
    if (names.kind === 'others') return underOtherNames(request, names.names);
    return result.verdict === 'allowed'
      ? answered(result, specRepository)
      : proveOrRefuse(request, names.name);
  };
}

const preloaded = allowed('preloaded', 'the image was on the node before Pullwarden');

function answered(verdict: Verdict, repository: string): Right {
  return { kind: 'verdict', verdict, repository, pullRequired: false };
}

function asked(verdict: Verdict, repository: string): Right {
  return { kind: 'verdict', verdict, repository, pullRequired: true };
}

function rotated(image: string, credential: PodCredential): Rotated {
  return { kind: 'rotated', image, credential };
}

export const imageNotPresent = unverifiable(
  'imageNotPresent',
  'the runtime no longer has the image, and Pullwarden pulls none that is absent',
);

/** Empty for an image id, and for what is not an image name. */
export function repositoryOfSpec(image: string): string {
  if (isImageId(image)) return '';
  try {
    return parseImageName(image).repository;
  } catch (error) {
    if (error instanceof ImageNameError) return '';
    throw error;
  }
}

/** An allowlist trusts names; that the content goes by the name must be seen first. */
function policyGoesByName(policy: VerificationPolicy, verdict: Allowed): boolean {
  return policy.name === 'NeverVerifyAllowlistedImages' && verdict.reason === 'verificationPolicy';
}

/** For the operator; the tenant reads kubelet's words for an absent image (tenant-message.ts). */
function neverWithoutRecord({ container }: AccessRequest): Verdict {
  return denied(
    'neverWithoutRecord',
    `the registry is not asked with pull policy Never, and no record lets this pod use ${container.image}`,
  );
}

export function imageMismatch({ container }: AccessRequest): Denied {
  return denied(
    'imageMismatch',
    `the container does not use ${container.image}, nor anything this pod may pull`,
  );
}
