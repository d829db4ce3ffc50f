import type { CredentialSource, RegistryCredential } from '../credentials/types.ts';

/** A credential that a pod may try for one repository. Must never be logged. */
export type PodCredential = {
  readonly credential: RegistryCredential;
  readonly source: CredentialSource;
  /** The keyed hash of the credential: stands for it in records, caches and comparisons. */
  readonly key: string;
};
