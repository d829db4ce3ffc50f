/** One entry of a docker config that fits an image. Must never be logged or stored. */
export type RegistryCredential = {
  readonly username: string;
  readonly password: string;
  readonly email: string;
};

/** A credential the keyring offers for an image, and the secret that it came from. */
export type TrackedCredential = {
  readonly credential: RegistryCredential;
  readonly secret: { readonly namespace: string; readonly name: string; readonly uid: string };
  /**
   * Kubelet's credentialHash: SHA-256 in hex over the compact JSON of the entry. Keep it out of logs and the
   * database.
   */
  readonly credentialHash: string;
};

/**
 * Where a credential comes from. It decides what a grant is recorded as: a secret or service account is the
 * pod's, and what the node has is every pod's.
 */
export type CredentialSource =
  | { readonly kind: 'secret'; readonly namespace: string; readonly name: string; readonly uid: string }
  | { readonly kind: 'node'; readonly file: string }
  /** Without a service account's token: also a provider that takes one, for a pod that has none. */
  | { readonly kind: 'node'; readonly provider: string }
  | {
      readonly kind: 'serviceAccount';
      readonly namespace: string;
      readonly name: string;
      readonly uid: string;
      readonly provider: string;
    };

/** A credential that a pod may try for an image, whatever its source. Must never be logged or stored. */
export type SourcedCredential = {
  readonly credential: RegistryCredential;
  readonly source: CredentialSource;
  /** As in TrackedCredential. */
  readonly credentialHash: string;
};
