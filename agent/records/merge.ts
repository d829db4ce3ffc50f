import { entryWith, type RecordEntry } from './entry.ts';
import type { ImagePullCredentials, ImagePullSecret, ImagePullServiceAccount } from './types.ts';

/**
 * Merges who else may use an image into an entry; undefined when nothing changes. Kubelet's rules
 * (pullmanager, pulledRecordMergeNewCreds): nodePodsAccessible swallows the rest and then nothing is added; a
 * secret is known by its coordinates and takes the newer hash; where secrets come, service accounts that come
 * with them are not merged into an entry that exists. Lists are ordered by namespace, name, uid.
 * `grantedByRuntime` stands beside all that and is swallowed with it.
 *
 * `verifiedAt` (ms since the epoch) is when a registry granted what is added; undefined where none was asked.
 *
 * Kubelet keeps the first list of an entry as it came; here it is ordered at once. A pull reports one secret,
 * so no list is long enough to tell the difference.
 */
export function mergeCredentials(
  known: RecordEntry | undefined,
  added: ImagePullCredentials,
  verifiedAt?: number,
): RecordEntry | undefined {
  const time = verifiedAt ?? 0;
  if (known?.credentials.nodePodsAccessible) {
    const isNewer = added.nodePodsAccessible && time > known.verifiedAt.nodePodsAccessible;
    return isNewer ? entryWith({ nodePodsAccessible: true }, { nodePodsAccessible: time }) : undefined;
  }
  if (added.nodePodsAccessible) {
    return entryWith({ nodePodsAccessible: true }, { nodePodsAccessible: time });
  }
  const { credentials, verifiedAt: times } = known ?? entryWith({});
  const addedSecrets = added.kubernetesSecrets ?? [];
  const addedAccounts = known && addedSecrets.length > 0 ? [] : (added.kubernetesServiceAccounts ?? []);
  const secrets = mergeOwners(
    withTimes(credentials.kubernetesSecrets, times.kubernetesSecrets),
    addedSecrets.map(secretOf),
    verifiedAt,
  );
  const accounts = mergeOwners(
    withTimes(credentials.kubernetesServiceAccounts, times.kubernetesServiceAccounts),
    addedAccounts.map(accountOf),
    verifiedAt,
  );
  const grantedByRuntime = (credentials.grantedByRuntime || added.grantedByRuntime) ?? false;
  const runtimeTime = added.grantedByRuntime
    ? Math.max(time, times.grantedByRuntime)
    : times.grantedByRuntime;
  const runtimeChanged =
    grantedByRuntime !== (credentials.grantedByRuntime ?? false) || runtimeTime !== times.grantedByRuntime;
  if (!secrets.changed && !accounts.changed && !runtimeChanged) return undefined;
  return entryWith(
    { ...(grantedByRuntime && { grantedByRuntime }), ...listsOf(secrets.owners, accounts.owners) },
    {
      grantedByRuntime: runtimeTime,
      kubernetesSecrets: secrets.times,
      kubernetesServiceAccounts: accounts.times,
    },
  );
}

/** Namespace, then name, then uid (kubelet's imagePullSecretLess and imagePullServiceAccountLess). */
export function byCoordinates(one: ImagePullServiceAccount, other: ImagePullServiceAccount): number {
  return (
    compare(one.namespace, other.namespace) || compare(one.name, other.name) || compare(one.uid, other.uid)
  );
}

function listsOf(
  secrets: readonly ImagePullSecret[],
  serviceAccounts: readonly ImagePullServiceAccount[],
): ImagePullCredentials {
  return {
    ...(secrets.length > 0 && { kubernetesSecrets: secrets }),
    ...(serviceAccounts.length > 0 && { kubernetesServiceAccounts: serviceAccounts }),
  };
}

type Timed<Owner> = { readonly owner: Owner; readonly time: number };

function withTimes<Owner>(owners: readonly Owner[] = [], times: readonly number[]): Timed<Owner>[] {
  return owners.map((owner, n) => ({ owner, time: times[n] ?? 0 }));
}

/** `changed` is also true where only a time is newer. */
function mergeOwners<Owner extends ImagePullServiceAccount & { readonly credentialHash?: string }>(
  merged: Timed<Owner>[],
  added: readonly Owner[],
  verifiedAt: number | undefined,
) {
  let changed = false;
  for (const owner of added) {
    const at = merged.findIndex((other) => sameCoordinates(other.owner, owner));
    const before = merged[at];
    const sameHash = before?.owner.credentialHash === owner.credentialHash;
    if (before && sameHash && (verifiedAt ?? 0) <= before.time) continue;
    // A hash that no registry has confirmed yet must not go by the time of the one before.
    const time = verifiedAt ?? 0;
    if (before === undefined) merged.push({ owner, time });
    else merged[at] = { owner: sameHash ? before.owner : owner, time };
    changed = true;
  }
  merged.sort((one, other) => byCoordinates(one.owner, other.owner));
  return { changed, owners: merged.map(({ owner }) => owner), times: merged.map(({ time }) => time) };
}

/** Nothing but what is to be kept, whatever else the object holds. */
function secretOf({ namespace, name, uid, credentialHash }: ImagePullSecret): ImagePullSecret {
  return { namespace, name, uid, credentialHash };
}

function accountOf({ namespace, name, uid }: ImagePullServiceAccount): ImagePullServiceAccount {
  return { namespace, name, uid };
}

function sameCoordinates(one: ImagePullServiceAccount, other: ImagePullServiceAccount): boolean {
  return one.uid === other.uid && one.name === other.name && one.namespace === other.namespace;
}

function compare(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}
