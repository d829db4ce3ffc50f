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

/** Why it could not be told; every one of these is tried again. */
export const UNVERIFIABLE_REASONS = [
  'registryUnavailable',
  'runtimeUnavailable',
  'apiServerUnavailable',
  'secretUnreadable',
  'secretMalformed',
  'tooManyCredentials',
  'imageNameInvalid',
  'imageNotPresent',
  'pullErrorUnknown',
  'internalError',
] as const;

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
