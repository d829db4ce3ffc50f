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
  /** Kubelet's credentialHash: SHA-256 in hex over the compact JSON of the entry. Keep it out of logs and the database. */
  readonly credentialHash: string;
};
