import type { RecordStore } from '../../records/record-store.ts';
import type { ImagePullSecret } from '../../records/types.ts';
import type { PodCredential } from '../pod-credential.ts';
import { type PodCredentials, type PodCredentialsReader, recordedAs } from '../pod-credentials.ts';
import type { AccessRequest, CheckResult } from '../request.ts';
import { type Allowed, allowed, isOfThePod, type Unverifiable } from '../verdict.ts';
import { checkAccess } from './check-access.ts';
import type { Decision } from './decide.ts';
import type { VerificationPolicy } from './policy.ts';

/** How a look at policy, inventory and record ended, before any registry is asked. */
export type LookupResult =
  | Allowed
  | Unverifiable
  | { readonly verdict: 'mustAuthenticate' }
  /** A secret that was good for a pull, with a content that was not: it has been changed since. */
  | { readonly verdict: 'rotated'; readonly credential: PodCredential };

export type LookupOptions = {
  readonly store: Pick<
    RecordStore,
    'pulledRecord' | 'pullIntentExists' | 'isPreloaded' | 'hasInventory' | 'mergeCredentials'
  >;
  readonly policy: VerificationPolicy;
  readonly readCredentials: PodCredentialsReader;
  /** False: kubelet's rule, a secret of known coordinates is trusted whatever it holds now. */
  readonly noticeRotation: boolean;
  readonly onCheck: (result: CheckResult) => void;
  /** Runs a write to the records and reports it when it fails. */
  readonly remember: (write: () => void) => void;
};

/**
 * Looks up one name of the content for one request. What the pod may pull with is read only if it matters,
 * and plugins run only where its secrets do not answer.
 */
export type Lookup = (request: AccessRequest, image: string, repository: string) => Promise<Found>;

export type Found = {
  readonly result: LookupResult;
  /**
   * The secrets that the answer rests on, where they came from a cache and may have been changed meanwhile.
   */
  readonly cachedVersion?: string;
};

/** `check` is what is counted. */
type Answer = { readonly check: CheckResult; readonly result: LookupResult };

export function createLookup(options: LookupOptions): Lookup {
  const { store, policy, onCheck } = options;

  function answerOf(about: { image: string; imageRef: string }, decision: Decision): Answer {
    switch (decision.result) {
      case 'credentialPolicyAllowed': {
        const result =
          decision.reason === 'preloaded'
            ? allowed('preloaded', 'the image was on the node before Pullwarden')
            : allowed('verificationPolicy', `policy ${policy.name} asks for no verification`);
        return { check: decision.result, result };
      }
      case 'credentialRecordFound': {
        const learn = 'learn' in decision ? decision.learn : undefined;
        if (learn) options.remember(() => store.mergeCredentials(about.image, about.imageRef, learn));
        const result = allowed(
          'recordMatched',
          'these credentials, or everyone, were granted this image before',
        );
        return { check: decision.result, result };
      }
      case 'error':
        return { check: 'error', result: mustAuthenticate };
      case 'mustAuthenticate':
      case 'needsPodCredentials':
        return { check: 'mustAuthenticate', result: mustAuthenticate };
    }
  }

  function answerWith(
    read: PodCredentials | Unverifiable,
    { container, imageRef }: AccessRequest,
    image: string,
  ): Answer {
    const about = { image, imageRef };
    if ('verdict' in read) {
      // With Never nobody is asked but the record, and secrets that say nothing match none.
      const noMatch = container.imagePullPolicy === 'Never' && isOfThePod(read);
      return { check: 'error', result: noMatch ? mustAuthenticate : read };
    }
    let candidates = read.credentials;
    let rotated: PodCredential | undefined;
    for (;;) {
      const decision = checkAccess(store, policy, about, recordedAs(candidates));
      const changed = options.noticeRotation ? changedSecret(decision) : undefined;
      if (changed === undefined) {
        if (rotated === undefined || decision.result === 'credentialRecordFound') {
          return answerOf(about, decision);
        }
        return { check: 'credentialRecordFound', result: { verdict: 'rotated', credential: rotated } };
      }
      // Another credential of the pod may be one that the record vouches for without any question.
      rotated ??= candidates.find((candidate) => isOfSecret(candidate, changed));
      candidates = candidates.filter((candidate) => !isOfSecret(candidate, changed));
    }
  }

  return async (request, image, repository) => {
    const about = { image, imageRef: request.imageRef };
    const withoutCredentials = checkAccess(store, policy, about);
    if (withoutCredentials.result !== 'needsPodCredentials') {
      const { check, result } = answerOf(about, withoutCredentials);
      onCheck(check);
      return { result };
    }
    const { pod } = request;
    let read = await options.readCredentials(pod, repository, { secretsOnly: true });
    let answer = answerWith(read, request, image);
    if (answer.result.verdict === 'mustAuthenticate') {
      read = await options.readCredentials(pod, repository);
      answer = answerWith(read, request, image);
    }
    // What is held against the pod must not rest on a secret as it was a minute ago.
    if (isAgainstThePod(request, answer.result)) {
      read = await options.readCredentials(pod, repository, { fresh: true });
      answer = answerWith(read, request, image);
    }
    onCheck(answer.check);
    if ('verdict' in read || !read.isCached) return { result: answer.result };
    return { result: answer.result, cachedVersion: read.version };
  };
}

const mustAuthenticate = { verdict: 'mustAuthenticate' } as const;

/** With Never there is no one else to ask; and what is the pod's own doing is stopped like a denied one. */
function isAgainstThePod({ container }: AccessRequest, result: LookupResult): boolean {
  if (result.verdict === 'unverifiable') return isOfThePod(result);
  return result.verdict === 'mustAuthenticate' && container.imagePullPolicy === 'Never';
}

/** Kubelet would learn such a secret as it is now; `learn` holds it, and nothing else. */
function changedSecret(decision: Decision): ImagePullSecret | undefined {
  const found = decision.result === 'credentialRecordFound' && decision.matchedBy === 'coordinates';
  return found ? decision.learn?.kubernetesSecrets?.[0] : undefined;
}

function isOfSecret({ source, key }: PodCredential, secret: ImagePullSecret): boolean {
  return (
    source.kind === 'secret' &&
    source.uid === secret.uid &&
    source.namespace === secret.namespace &&
    source.name === secret.name &&
    key === secret.credentialHash
  );
}
