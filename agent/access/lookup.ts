import type { RecordStore } from '../records/store.ts';
import { checkAccess } from './check.ts';
import type { Decision } from './decide.ts';
import type { PodCredential, PodCredentialsReader } from './pod-credentials.ts';
import type { VerificationPolicy } from './policy.ts';
import type { AccessRequest, CheckResult } from './request.ts';
import { type Allowed, allowed, isOfThePod, type Unverifiable } from './verdict.ts';

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

/** Looks up one name of the content for one request. The pod's secrets are read only if they matter. */
export type Lookup = (request: AccessRequest, image: string, repository: string) => Promise<LookupResult>;

export function createLookup(options: LookupOptions): Lookup {
  const { store, policy, onCheck } = options;

  function resultOf(about: { image: string; imageRef: string }, decision: Decision): LookupResult {
    switch (decision.result) {
      case 'credentialPolicyAllowed':
        onCheck(decision.result);
        return decision.reason === 'preloaded'
          ? allowed('preloaded', 'the image was on the node before Pullwarden')
          : allowed('verificationPolicy', `policy ${policy.name} asks for no verification`);
      case 'credentialRecordFound': {
        onCheck(decision.result);
        const learn = 'learn' in decision ? decision.learn : undefined;
        if (learn) options.remember(() => store.mergeCredentials(about.image, about.imageRef, learn));
        return allowed('recordMatched', 'these credentials, or everyone, were granted this image before');
      }
      case 'error':
        onCheck('error');
        return { verdict: 'mustAuthenticate' };
      case 'mustAuthenticate':
      case 'needsPodCredentials':
        onCheck('mustAuthenticate');
        return { verdict: 'mustAuthenticate' };
    }
  }

  return async (request, image, repository) => {
    const about = { image, imageRef: request.imageRef };
    const withoutSecrets = checkAccess(store, policy, about);
    if (withoutSecrets.result !== 'needsPodCredentials') return resultOf(about, withoutSecrets);
    const read = await options.readCredentials(request.pod, repository);
    if ('verdict' in read) {
      onCheck('error');
      // With Never nobody is asked but the record, and secrets that say nothing match none.
      const noMatch = request.container.imagePullPolicy === 'Never' && isOfThePod(read);
      return noMatch ? { verdict: 'mustAuthenticate' } : read;
    }
    let candidates = read.credentials;
    let rotated: PodCredential | undefined;
    for (;;) {
      const decision = checkAccess(store, policy, about, { secrets: candidates.map(({ secret }) => secret) });
      const changed = options.noticeRotation && changedSecret(decision);
      if (!changed) {
        if (rotated === undefined || decision.result === 'credentialRecordFound')
          return resultOf(about, decision);
        onCheck('credentialRecordFound');
        return { verdict: 'rotated', credential: rotated };
      }
      // Another credential of the pod may be one that the record vouches for without any question.
      rotated ??= candidates.find(({ secret }) => secret === changed);
      candidates = candidates.filter(({ secret }) => secret !== changed);
    }
  };
}

/** Kubelet would learn such a secret as it is now; `learn` holds it, and nothing else. */
function changedSecret(decision: Decision): PodCredential['secret'] | undefined {
  const found = decision.result === 'credentialRecordFound' && decision.matchedBy === 'coordinates';
  return found ? decision.learn?.kubernetesSecrets?.[0] : undefined;
}
