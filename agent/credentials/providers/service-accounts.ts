/**
 * What a provider with tokenAttributes needs of the API server. Implemented over the API client; both calls
 * are made live at every look-up, as kubelet's are (pkg/credentialprovider/plugin/plugin.go,
 * serviceAccountProvider).
 */
export interface ServiceAccountTokens {
  /** Undefined where there is none of this name. @throws ServiceAccountError */
  getServiceAccount(namespace: string, name: string): Promise<ServiceAccount | undefined>;
  /**
   * A token that is bound to the pod (TokenRequest: metadata.uid the account's, exactly this audience, no
   * expirationSeconds). @throws ServiceAccountError, `audienceForbidden` with the rule that is missing
   */
  requestToken(request: TokenRequest): Promise<ServiceAccountToken>;
}

export type ServiceAccount = {
  readonly uid: string;
  readonly annotations: ReadonlyMap<string, string>;
};

export type TokenRequest = {
  readonly namespace: string;
  readonly serviceAccountName: string;
  readonly serviceAccountUid: string;
  readonly podName: string;
  readonly podUid: string;
  readonly audience: string;
};

/** Must never be logged. */
export type ServiceAccountToken = {
  readonly token: string;
  /** When it ends, in ms since the epoch (status.expirationTimestamp). */
  readonly expirationMs: number;
};
