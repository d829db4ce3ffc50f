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
  // By what the node itself has: docker config files, provider plugins, or what --node-credentials says.
  'nodeCredentials',
  // By nobody's credentials, and not by the registry itself: a mirror, or the runtime's own configuration.
  'grantedByRuntime',
] as const;

/** Why a container must not run its image. */
export const DENIED_REASONS = [
  'registryRefused',
  'neverWithoutRecord',
  'imageMismatch',
  // The registry that grants the image has not shown that it holds it.
  'bytesNotShown',
  // Kubelet took the pod from the API server, which does not know it (any more), or knows no such container
  // of it.
  'podUnknown',
  'unmanagedPod',
] as const;

/** Why there is no answer: what the pod itself brings along, its image's name or its secrets, is unusable. */
export const OF_THE_POD_REASONS = ['secretMalformed', 'tooManyCredentials', 'imageNameInvalid'] as const;

/** Why there is no answer yet; every one of these is tried again while the container runs. */
export const UNVERIFIABLE_REASONS = [
  'registryUnavailable',
  // The registry keeps this image from everybody, by its own policy (412) or by law (451).
  'registryForbidsImage',
  'runtimeUnavailable',
  // The node itself is in the way: a full disk, a forbidden socket.
  'nodeTrouble',
  'apiServerUnavailable',
  // A credential provider plugin did not answer.
  'providerUnavailable',
  // The API server does not let the agent ask for the token that a provider plugin needs.
  'audienceForbidden',
  // The agent may not read it: for an operator to mend, not for the tenant.
  'secretUnreadable',
  'imageNotPresent',
  // The answer is still awaited; another verdict follows.
  'verificationInProgress',
  'internalError',
  ...OF_THE_POD_REASONS,
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
export type Denied = {
  readonly verdict: 'denied';
  readonly reason: DeniedReason;
  readonly message: string;
  /** With `registryRefused`, where it is known. */
  readonly about?: RegistryRefusal;
};
export type Unverifiable = {
  readonly verdict: 'unverifiable';
  readonly reason: UnverifiableReason;
  readonly message: string;
};

/** What the pod had to show when the registry refused it; enough to tell the tenant what to mend. */
export type RegistryRefusal = {
  /** Credentials that the registry refused; 0 when it was asked anonymously. */
  readonly tried: number;
  /** imagePullSecrets that the pod names. */
  readonly configured: number;
};

/**
 * Who gets the benefit of the doubt when a verdict cannot be found. `standing`: this namespace was granted
 * this content under this name on this node, or its container ran when the agent first came.
 * `broughtByRegistry`: the registry that the image names is the one that brought the content. `none`:
 * neither.
 */
export type Doubt = 'standing' | 'broughtByRegistry' | 'none';

/** What Pullwarden says of one container and the image it uses. */
export type Verdict = Allowed | Denied | Unverifiable;

export function allowed(reason: AllowedReason, message: string): Allowed {
  return { verdict: 'allowed', reason, message };
}

export function denied(reason: DeniedReason, message: string, about?: RegistryRefusal): Denied {
  return { verdict: 'denied', reason, message, ...(about && { about }) };
}

export function unverifiable(reason: UnverifiableReason, message: string): Unverifiable {
  return { verdict: 'unverifiable', reason, message };
}

/** Is there no answer because of what the pod itself brings along? */
export function isOfThePod({ reason }: Verdict): boolean {
  const reasons: readonly Reason[] = OF_THE_POD_REASONS;
  return reasons.includes(reason);
}
