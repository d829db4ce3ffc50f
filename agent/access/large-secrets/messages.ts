import type { KeyringSecret } from '../../credentials/keyring.ts';
import type { TrackedCredential } from '../../credentials/types.ts';

/** What large secrets offer for a repository is looked up by a thread of its own. */
export type LookupQuestion = {
  readonly secrets: readonly KeyringSecret[];
  readonly repository: string;
};

/** Malformed: the message why there is nothing, naming the secret and nothing of what it holds. */
export type Found = { readonly offered: readonly TrackedCredential[] } | { readonly malformed: string };
