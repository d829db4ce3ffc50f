import type { ImagePullCredentials, ImagePullSecret, ImagePullServiceAccount } from './types.ts';

/** What a merge changes: the entry as it is afterwards, and the rows that it takes to get there. */
export type CredentialMerge = {
  readonly credentials: ImagePullCredentials;
  /** True: every row of the entry goes and `nodePodsAccessible` stands alone. */
  readonly nodePodsAccessible: boolean;
  readonly secrets: readonly ImagePullSecret[];
  readonly serviceAccounts: readonly ImagePullServiceAccount[];
};

/**
 * Merges who else may use an image into an entry; undefined when nothing changes. Kubelet's rules
 * (pullmanager, pulledRecordMergeNewCreds): nodePodsAccessible swallows the rest and then nothing is added; a
 * secret is known by its coordinates and takes the newer hash; where secrets come, service accounts that come
 * with them are not merged into an entry that exists. Lists are ordered by namespace, name, uid.
 *
 * Kubelet keeps the first list of an entry as it came; here it is ordered at once. A pull reports one secret, so
 * no list is long enough to tell the difference.
 */
export function mergeCredentials(
  known: ImagePullCredentials | undefined,
  added: ImagePullCredentials,
): CredentialMerge | undefined {
  if (known?.nodePodsAccessible) return undefined;
  if (added.nodePodsAccessible) {
    return {
      credentials: { nodePodsAccessible: true },
      nodePodsAccessible: true,
      secrets: [],
      serviceAccounts: [],
    };
  }
  const addedSecrets = added.kubernetesSecrets ?? [];
  const addedAccounts = added.kubernetesServiceAccounts ?? [];
  const secrets = mergeSecrets(known?.kubernetesSecrets ?? [], addedSecrets);
  const accounts = mergeServiceAccounts(
    known?.kubernetesServiceAccounts ?? [],
    known && addedSecrets.length > 0 ? [] : addedAccounts,
  );
  if (secrets.written.length === 0 && accounts.written.length === 0) return undefined;
  return {
    credentials: entryOf(secrets.merged, accounts.merged),
    nodePodsAccessible: false,
    secrets: secrets.written,
    serviceAccounts: accounts.written,
  };
}

/** The entry without one secret; undefined when nothing is left, `known` itself when it was not there. */
export function withoutSecret(
  known: ImagePullCredentials,
  secret: Pick<ImagePullSecret, 'namespace' | 'name' | 'uid'>,
): ImagePullCredentials | undefined {
  const secrets = known.kubernetesSecrets ?? [];
  const left = secrets.filter((other) => !sameCoordinates(other, secret));
  if (left.length === secrets.length) return known;
  const accounts = known.kubernetesServiceAccounts ?? [];
  return left.length === 0 && accounts.length === 0 ? undefined : entryOf(left, accounts);
}

/** An entry from ordered lists, with empty ones left out. */
export function entryOf(
  secrets: readonly ImagePullSecret[],
  serviceAccounts: readonly ImagePullServiceAccount[],
): ImagePullCredentials {
  return {
    ...(secrets.length > 0 && { kubernetesSecrets: secrets }),
    ...(serviceAccounts.length > 0 && { kubernetesServiceAccounts: serviceAccounts }),
  };
}

/** Namespace, then name, then uid (kubelet's imagePullSecretLess and imagePullServiceAccountLess). */
export function byCoordinates(one: ImagePullServiceAccount, other: ImagePullServiceAccount): number {
  return (
    compare(one.namespace, other.namespace) || compare(one.name, other.name) || compare(one.uid, other.uid)
  );
}

function mergeSecrets(known: readonly ImagePullSecret[], added: readonly ImagePullSecret[]) {
  const merged = [...known];
  const written: ImagePullSecret[] = [];
  for (const { namespace, name, uid, credentialHash } of added) {
    const secret = { namespace, name, uid, credentialHash };
    const at = merged.findIndex((other) => sameCoordinates(other, secret));
    if (merged[at]?.credentialHash === credentialHash) continue;
    if (at === -1) merged.push(secret);
    else merged[at] = secret;
    written.push(secret);
  }
  return { merged: merged.sort(byCoordinates), written };
}

function mergeServiceAccounts(
  known: readonly ImagePullServiceAccount[],
  added: readonly ImagePullServiceAccount[],
) {
  const merged = [...known];
  const written: ImagePullServiceAccount[] = [];
  for (const { namespace, name, uid } of added) {
    const account = { namespace, name, uid };
    if (merged.some((other) => sameCoordinates(other, account))) continue;
    merged.push(account);
    written.push(account);
  }
  return { merged: merged.sort(byCoordinates), written };
}

function sameCoordinates(one: ImagePullServiceAccount, other: ImagePullServiceAccount): boolean {
  return one.uid === other.uid && one.name === other.name && one.namespace === other.namespace;
}

function compare(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}
