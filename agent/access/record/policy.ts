import { type Allowlist, allowlistMatches, parseAllowlist } from '../../image/allowlist.ts';

/** KubeletConfiguration `imagePullCredentialsVerificationPolicy`. */
export const VERIFICATION_POLICIES = [
  'NeverVerify',
  'NeverVerifyPreloadedImages',
  'NeverVerifyAllowlistedImages',
  'AlwaysVerify',
] as const;

export type VerificationPolicyName = (typeof VERIFICATION_POLICIES)[number];

/** Which images are open to every pod on the node without a look at its credentials. */
export type VerificationPolicy =
  | { readonly name: Exclude<VerificationPolicyName, 'NeverVerifyAllowlistedImages'> }
  | { readonly name: 'NeverVerifyAllowlistedImages'; readonly allowlist: Allowlist };

/**
 * A policy as it is configured. `allowlist` is KubeletConfiguration's preloadedImagesVerificationAllowlist;
 * only NeverVerifyAllowlistedImages reads it. @throws AllowlistError for a bad pattern.
 */
export function makePolicy(
  name: VerificationPolicyName,
  allowlist: readonly string[] = [],
): VerificationPolicy {
  return name === 'NeverVerifyAllowlistedImages' ? { name, allowlist: parseAllowlist(allowlist) } : { name };
}

/**
 * Must a pod prove that it may use this image? `tracked`: somebody pulled the content to this node, it was
 * not preloaded (kubelet's imagePulledByKubelet). Kubelet: pullmanager, image_pull_policies.go.
 */
export function requiresVerification(policy: VerificationPolicy, image: string, tracked: boolean): boolean {
  switch (policy.name) {
    case 'NeverVerify':
      return false;
    case 'NeverVerifyPreloadedImages':
      return tracked;
    case 'NeverVerifyAllowlistedImages':
      return !allowlistMatches(policy.allowlist, image);
    // AlwaysVerify. Without a condition, so that a policy that is none of these does not allow.
    default:
      return true;
  }
}
