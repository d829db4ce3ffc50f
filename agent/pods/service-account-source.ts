import { ServiceAccountError } from '../errors.ts';

/** What a credential provider may learn of a service account (KEP-4412). */
export type ServiceAccountIdentity = {
  readonly namespace: string;
  readonly name: string;
  /** Another one under the same name has another uid. */
  readonly uid: string;
  readonly annotations: ReadonlyMap<string, string>;
};

/** For whom and for what a token is asked, as kubelet's TokenRequest has it. */
export type TokenQuestion = {
  readonly namespace: string;
  readonly serviceAccountName: string;
  /** The uid that getServiceAccount gave: a token for another account of this name is not wanted. */
  readonly serviceAccountUid: string;
  /** The pod that the token is bound to; it dies with the pod. */
  readonly podName: string;
  readonly podUid: string;
  readonly audience: string;
};

/** Must never be logged or stored. */
export type ServiceAccountToken = {
  readonly token: string;
  /**
   * When it expires, ms since 1970 by the API server's clock. For plugins; not for decisions of the agent.
   */
  readonly expirationMs: number;
  /** How long it is valid, ms, as the API server granted it. */
  readonly lifetimeMs: number;
  /** performance.now() when it was asked for: it is valid at least until `requestedAtMs + lifetimeMs`. */
  readonly requestedAtMs: number;
};

/** Service accounts and their tokens. Nothing is cached here. */
export interface ServiceAccountSource {
  /**
   * The service account as the API server has it now; undefined where it does not exist.
   *
   * @throws ServiceAccountError apiServerUnavailable, serviceAccountForbidden, noTokens
   */
  getServiceAccount(namespace: string, name: string): Promise<ServiceAccountIdentity | undefined>;
  /**
   * A token bound to the pod, for one audience, with the lifetime that the API server chooses (an hour,
   * usually).
   *
   * @throws ServiceAccountError apiServerUnavailable, audienceForbidden, tokenForbidden, subjectGone,
   * tokenRefused, noTokens
   */
  requestToken(question: TokenQuestion): Promise<ServiceAccountToken>;
}

/** Where pods come from a folder: nobody is there to issue tokens. */
export const NO_SERVICE_ACCOUNTS: ServiceAccountSource = {
  getServiceAccount: (namespace, name) => Promise.reject(noTokens(namespace, name)),
  requestToken: ({ namespace, serviceAccountName }) =>
    Promise.reject(noTokens(namespace, serviceAccountName)),
};

function noTokens(namespace: string, name: string): Error {
  return new ServiceAccountError(
    'noTokens',
    `service account ${namespace}/${name}: pods come from a folder, and there are no tokens without an API server`,
  );
}
