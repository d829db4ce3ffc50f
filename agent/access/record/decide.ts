import type {
  ImagePullCredentials,
  ImagePulledRecord,
  ImagePullSecret,
  ImagePullServiceAccount,
} from '../../records/types.ts';
import { requiresVerification, type VerificationPolicy } from './policy.ts';
import { findSecret } from './secret-index.ts';

/**
 * Kubelet's writeRecordWhileMatchingLimit: a check adds to an entry only while it holds fewer secrets than
 * this.
 */
const LEARN_LIMIT = 100;

/**
 * What a pod would pull with, in the order in which it would be tried. Hashes are keyed like the records'
 * are.
 */
export type PodPullCredentials = {
  readonly secrets: readonly ImagePullSecret[];
  readonly serviceAccount?: ImagePullServiceAccount;
};

export type AccessFacts = {
  /** The text of the container's `image` field. */
  readonly image: string;
  /** Its trimmed form; undefined when it cannot be parsed. */
  readonly trimmedImage: string | undefined;
  /** Empty when the image is not present. */
  readonly imageRef: string;
  readonly policy: VerificationPolicy;
  readonly record: ImagePulledRecord | undefined;
  /** Somebody pulled this content to the node: it was not preloaded. */
  readonly tracked: boolean;
  /** Left out at first: they cost a look at the pod's secrets, which may fail, and are not always needed. */
  readonly podCredentials?: PodPullCredentials | undefined;
};

/**
 * `result` is kubelet's word for the outcome (metric kubelet_imagemanager_image_mustpull_checks_total), or
 * that the question has to be put again with the pod's credentials.
 */
export type Decision =
  | {
      readonly result: 'credentialPolicyAllowed';
      /** `preloaded`: allowed for being there from the start; otherwise the policy asks nobody. */
      readonly reason: 'preloaded' | 'verificationPolicy';
    }
  | {
      readonly result: 'credentialRecordFound';
      /**
       * `coordinates`: the same secret as was good for a pull, with a content that no record vouches for: it
       * was changed since (or its hash is not known). Kubelet lets that pass and learns it; a stricter agent
       * verifies it first and does not write `learn`.
       */
      readonly matchedBy: 'nodePodsAccessible' | 'hash' | 'coordinates' | 'serviceAccount';
      /** What kubelet writes down on such a match; for RecordStore.mergeCredentials. */
      readonly learn?: ImagePullCredentials;
    }
  | {
      readonly result: 'mustAuthenticate';
      readonly reason: 'imageNotPresent' | 'noRecord' | 'noCredentials' | 'noMatch';
    }
  /** Kubelet's word for an image whose name is none, where only a record could allow it. */
  | { readonly result: 'error'; readonly reason: 'imageNameInvalid' }
  | { readonly result: 'needsPodCredentials' };

/**
 * May a pod use an image that is on the node, as far as policy and records can tell? Kubelet's
 * MustAttemptImagePull (pullmanager/image_pull_manager.go): everything but `credentialPolicyAllowed` and
 * `credentialRecordFound` means that it has to prove it with a pull. Pure; never throws.
 */
export function decide(facts: AccessFacts): Decision {
  const { policy, record, trimmedImage, podCredentials } = facts;
  if (facts.imageRef === '') return imageNotPresent;
  if (!requiresVerification(policy, facts.image, facts.tracked)) {
    return policy.name === 'NeverVerifyPreloadedImages' ? preloaded : verificationPolicy;
  }
  if (!record) return noRecord;
  if (trimmedImage === undefined) return imageNameInvalid;
  const entry = record.credentialMapping.get(trimmedImage);
  if (!entry) return noRecord;
  if (entry.nodePodsAccessible) return nodePodsAccessible;
  const secrets = entry.kubernetesSecrets ?? noSecrets;
  const accounts = entry.kubernetesServiceAccounts ?? noAccounts;
  if (secrets.length === 0 && accounts.length === 0) return noCredentials;
  if (!podCredentials) return needsPodCredentials;
  return matchSecrets(secrets, podCredentials.secrets) ?? matchAccount(accounts, podCredentials) ?? noMatch;
}

/**
 * Kubelet goes through the pod's secrets, and for each through the entry's, and stops at the first pair of
 * which hash or coordinates match (coordinates only below the limit). Which pair of one pod secret that is
 * makes no difference: either way it is that pod secret which is learned, unless it is in the entry as it is.
 */
function matchSecrets(
  known: readonly ImagePullSecret[],
  podSecrets: readonly ImagePullSecret[],
): Decision | undefined {
  const mayLearn = known.length < LEARN_LIMIT;
  for (const secret of podSecrets) {
    const { sameSecret, sameHash } = findSecret(known, secret);
    if (sameHash === -1 && (sameSecret === -1 || !mayLearn)) continue;
    const matchedBy = sameHash === -1 ? 'coordinates' : 'hash';
    // A secret that the entry holds just as it is teaches nothing; any other match puts it there as it is
    // now.
    return sameHash !== sameSecret && mayLearn
      ? { result: 'credentialRecordFound', matchedBy, learn: { kubernetesSecrets: [secret] } }
      : { result: 'credentialRecordFound', matchedBy };
  }
  return undefined;
}

function matchAccount(
  known: readonly ImagePullServiceAccount[],
  { serviceAccount }: PodPullCredentials,
): Decision | undefined {
  if (!serviceAccount) return undefined;
  return known.some((account) => sameCoordinates(account, serviceAccount)) ? serviceAccountFound : undefined;
}

function sameCoordinates(one: ImagePullServiceAccount, other: ImagePullServiceAccount): boolean {
  return one.uid === other.uid && one.namespace === other.namespace && one.name === other.name;
}

const imageNotPresent: Decision = { result: 'mustAuthenticate', reason: 'imageNotPresent' };
const preloaded: Decision = { result: 'credentialPolicyAllowed', reason: 'preloaded' };
const verificationPolicy: Decision = { result: 'credentialPolicyAllowed', reason: 'verificationPolicy' };
const noRecord: Decision = { result: 'mustAuthenticate', reason: 'noRecord' };
const imageNameInvalid: Decision = { result: 'error', reason: 'imageNameInvalid' };
const nodePodsAccessible: Decision = { result: 'credentialRecordFound', matchedBy: 'nodePodsAccessible' };
const noCredentials: Decision = { result: 'mustAuthenticate', reason: 'noCredentials' };
const needsPodCredentials: Decision = { result: 'needsPodCredentials' };
const serviceAccountFound: Decision = { result: 'credentialRecordFound', matchedBy: 'serviceAccount' };
const noMatch: Decision = { result: 'mustAuthenticate', reason: 'noMatch' };

const noSecrets: readonly ImagePullSecret[] = [];
const noAccounts: readonly ImagePullServiceAccount[] = [];
