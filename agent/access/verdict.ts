/**
 * The words of every answer Pullwarden gives: one closed list, the same in logs, metrics, events,
 * the decisions log and the command line. Extend it here and nowhere else.
 */

/** Why a container may run its image. */
export const ALLOWED_REASONS = [
  'pullPolicyAlways',
  'verificationPolicy',
  'preloaded',
  'recordMatched',
  'repullSucceeded',
] as const;

/** Why a container must not run its image. */
export const DENIED_REASONS = [
  'registryRefused',
  'neverWithoutRecord',
  'imageMismatch',
  'unmanagedPod',
] as const;

/**
 * Why it could not be told: whoever would know cannot be asked, or the image is not there to ask about. An outage is
 * nobody's right and nobody's guilt, and a node must outlive it: enforcement is lenient with these.
 */
export const NOBODY_TO_ASK_REASONS = [
  'registryUnavailable',
  'runtimeUnavailable',
  'apiServerUnavailable',
  // The agent may not read it: for an operator to mend, not for the tenant.
  'secretUnreadable',
  'imageNotPresent',
  'internalError',
] as const;

/**
 * Why it could not be told: by what the pod itself brings along, its image's name or its secrets. Whoever writes the
 * pod chooses these, so that they excuse no more than a denial does.
 */
export const OF_THE_POD_REASONS = [
  'secretMalformed',
  'tooManyCredentials',
  'imageNameInvalid',
  // A registry's answer that means neither a refusal nor an outage, as 431 to a password of 790 kB.
  'pullErrorUnknown',
] as const;

/** Why it could not be told; every one of these is tried again while the container runs. */
export const UNVERIFIABLE_REASONS = [...NOBODY_TO_ASK_REASONS, ...OF_THE_POD_REASONS] as const;

export type AllowedReason = (typeof ALLOWED_REASONS)[number];
export type DeniedReason = (typeof DENIED_REASONS)[number];
export type UnverifiableReason = (typeof UNVERIFIABLE_REASONS)[number];
export type Reason = AllowedReason | DeniedReason | UnverifiableReason;

/** `message` is for people, on one line, and never holds a credential. */
export type Allowed = {
  readonly verdict: 'allowed';
  readonly reason: AllowedReason;
  readonly message: string;
};
export type Denied = { readonly verdict: 'denied'; readonly reason: DeniedReason; readonly message: string };
export type Unverifiable = {
  readonly verdict: 'unverifiable';
  readonly reason: UnverifiableReason;
  readonly message: string;
};

/** What Pullwarden says of one container and the image it uses. */
export type Verdict = Allowed | Denied | Unverifiable;

export function allowed(reason: AllowedReason, message: string): Allowed {
  return { verdict: 'allowed', reason, message };
}

export function denied(reason: DeniedReason, message: string): Denied {
  return { verdict: 'denied', reason, message };
}

export function unverifiable(reason: UnverifiableReason, message: string): Unverifiable {
  return { verdict: 'unverifiable', reason, message };
}

/** Did the pod itself bring it about that nothing could be told? */
export function isOfThePod({ reason }: Verdict): boolean {
  const reasons: readonly Reason[] = OF_THE_POD_REASONS;
  return reasons.includes(reason);
}
