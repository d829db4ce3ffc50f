import type { Shown } from '../access/bytes/showing.ts';
import type { PullWord } from '../access/proof/ask-by-pull.ts';
import type { RegistryWord } from '../access/proof/ask-registry.ts';
import type { CheckResult } from '../access/request.ts';
import { NriError, RecordStoreError } from '../errors.ts';
import type { PullPolicy } from '../pods/pod-source.ts';
import type { PullOutcome } from '../runtime/runtime.ts';

/** Of every name. */
export const PREFIX = 'pullwarden_';

/**
 * Every value of the labels whose closed list is a type elsewhere: written as records, so that the compiler
 * asks for a value that is added there.
 */
const checkResults: Record<CheckResult, true> = {
  credentialPolicyAllowed: true,
  credentialRecordFound: true,
  mustAuthenticate: true,
  error: true,
};

const pullOutcomes: Record<PullOutcome['outcome'], true> = {
  pulled: true,
  refused: true,
  notFound: true,
  unavailable: true,
  forbiddenByPolicy: true,
  invalid: true,
  nodeTrouble: true,
  unknown: true,
  runtimeUnavailable: true,
};

const pullWords: Record<PullWord['said'], true> = { granted: true, refused: true, nothing: true };
const registryWords: Record<RegistryWord['answer'], true> = {
  granted: true,
  refused: true,
  unverifiable: true,
};
const shownOutcomes: Record<Shown['outcome'], true> = {
  shown: true,
  lacks: true,
  refused: true,
  tooLarge: true,
  unavailable: true,
};

export const PULL_WORDS = Object.keys(pullWords);
export const REGISTRY_WORDS = Object.keys(registryWords);
export const SHOWN_OUTCOMES = Object.keys(shownOutcomes);
export const CHECK_RESULTS = Object.keys(checkResults);
export const PULL_OUTCOMES = Object.keys(pullOutcomes);
export const RECORD_STORE_FAILURES = RecordStoreError.reasons;
/** A socket where nobody listens ends no connection. */
export const NRI_DISCONNECT_REASONS = NriError.reasons.filter((reason) => reason !== 'unreachable');

/** Kubelet writes pull policies in lower case (image_manager's ensure_image_requests_total). */
export const PULL_POLICY_LABELS: Record<PullPolicy, string> = {
  Always: 'always',
  IfNotPresent: 'ifnotpresent',
  Never: 'never',
};

/** `unknown`: the request ended before anybody knew. */
export const YES_NO_UNKNOWN = ['true', 'false', 'unknown'] as const;

export function yesNoUnknown(value: boolean | undefined): (typeof YES_NO_UNKNOWN)[number] {
  if (value === undefined) return 'unknown';
  return value ? 'true' : 'false';
}
