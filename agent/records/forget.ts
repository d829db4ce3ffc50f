import { repositoryOf } from '../image/reference.ts';
import type { Grant, Grantee } from './types.ts';

/** Which grants are meant: those to which all that is set applies. Empty means none. */
export type ForgetFilter = {
  /** An image name; its tag and digest do not matter. */
  readonly image?: string;
  /** Of the secret or service account. */
  readonly namespace?: string;
  readonly secret?: { readonly namespace: string; readonly name: string };
  /** Verified before this, ms since the epoch, or at a time that nobody knows. */
  readonly verifiedBefore?: number;
};

export type ForgetOutcome = { readonly grants: readonly Grant[] };

/** Is this grant meant? */
export function isMeant(filter: ForgetFilter, grant: Grant): boolean {
  const { image, namespace, secret, verifiedBefore } = filter;
  const { grantee } = grant;
  if (Object.values(filter).every((value) => value === undefined)) return false;
  if (image !== undefined && !isSameRepository(image, grant.trimmedImage)) return false;
  if (namespace !== undefined && !('namespace' in grantee && grantee.namespace === namespace)) return false;
  if (secret !== undefined && !isSecret(grantee, secret)) return false;
  return verifiedBefore === undefined || (grant.verifiedAt ?? 0) < verifiedBefore;
}

function isSameRepository(image: string, trimmedImage: string): boolean {
  const repository = repositoryOf(image);
  return repository !== undefined && repository === repositoryOf(trimmedImage);
}

function isSecret(grantee: Grantee, secret: { readonly namespace: string; readonly name: string }): boolean {
  return (
    grantee.kind === 'kubernetesSecret' &&
    grantee.namespace === secret.namespace &&
    grantee.name === secret.name
  );
}
