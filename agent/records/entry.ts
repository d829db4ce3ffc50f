import type { Grantee, ImagePullCredentials } from './types.ts';

/** When a registry last granted what an entry holds, ms since the epoch; 0 where that is not known. */
export type VerifiedTimes = {
  readonly nodePodsAccessible: number;
  readonly grantedByRuntime: number;
  /** In the order of the entry's lists. */
  readonly kubernetesSecrets: readonly number[];
  readonly kubernetesServiceAccounts: readonly number[];
};

/**
 * Who may use an image under one name, and since when that is known. Never altered: a merge makes a new one.
 */
export type RecordEntry = {
  readonly credentials: ImagePullCredentials;
  readonly verifiedAt: VerifiedTimes;
};

const neverVerified: VerifiedTimes = {
  nodePodsAccessible: 0,
  grantedByRuntime: 0,
  kubernetesSecrets: [],
  kubernetesServiceAccounts: [],
};

export const emptyEntry: RecordEntry = { credentials: {}, verifiedAt: neverVerified };

/** An entry whose times are those that are given, and 0 for all others. */
export function entryWith(
  credentials: ImagePullCredentials,
  verifiedAt: Partial<VerifiedTimes> = {},
): RecordEntry {
  return { credentials, verifiedAt: { ...neverVerified, ...verifiedAt } };
}

/** Each permission of an entry with its time. */
export function* grantsOf({ credentials, verifiedAt }: RecordEntry): Generator<[Grantee, number]> {
  if (credentials.nodePodsAccessible) yield [{ kind: 'nodePodsAccessible' }, verifiedAt.nodePodsAccessible];
  if (credentials.grantedByRuntime) yield [{ kind: 'grantedByRuntime' }, verifiedAt.grantedByRuntime];
  for (const kind of ['kubernetesSecret', 'kubernetesServiceAccount'] as const) {
    const owners = credentials[`${kind}s`] ?? [];
    for (const [n, { namespace, name, uid }] of owners.entries()) {
      yield [{ kind, namespace, name, uid }, verifiedAt[`${kind}s`][n] ?? 0];
    }
  }
}

/**
 * The entry without those that `leaves` names; undefined where nobody is left, the entry itself where nobody
 * left.
 */
export function withoutGrantees(
  entry: RecordEntry,
  leaves: (grantee: Grantee, verifiedAt: number) => boolean,
): RecordEntry | undefined {
  const left = new Set<string>();
  for (const [grantee, verifiedAt] of grantsOf(entry))
    if (leaves(grantee, verifiedAt)) left.add(keyOf(grantee));
  if (left.size === 0) return entry;
  const { credentials, verifiedAt } = entry;
  const secrets = keep(credentials.kubernetesSecrets, verifiedAt.kubernetesSecrets, (owner) =>
    left.has(keyOf({ kind: 'kubernetesSecret', ...owner })),
  );
  const accounts = keep(
    credentials.kubernetesServiceAccounts,
    verifiedAt.kubernetesServiceAccounts,
    (owner) => left.has(keyOf({ kind: 'kubernetesServiceAccount', ...owner })),
  );
  const everyPod = credentials.nodePodsAccessible && !left.has('nodePodsAccessible');
  const byRuntime = credentials.grantedByRuntime && !left.has('grantedByRuntime');
  if (!everyPod && !byRuntime && secrets.owners.length + accounts.owners.length === 0) return undefined;
  return {
    credentials: {
      ...(everyPod && { nodePodsAccessible: true }),
      ...(byRuntime && { grantedByRuntime: true }),
      ...(secrets.owners.length > 0 && { kubernetesSecrets: secrets.owners }),
      ...(accounts.owners.length > 0 && { kubernetesServiceAccounts: accounts.owners }),
    },
    verifiedAt: {
      ...verifiedAt,
      kubernetesSecrets: secrets.times,
      kubernetesServiceAccounts: accounts.times,
    },
  };
}

function keyOf(grantee: Grantee): string {
  if (!('uid' in grantee)) return grantee.kind;
  return JSON.stringify([grantee.kind, grantee.namespace, grantee.name, grantee.uid]);
}

function keep<Owner>(
  owners: readonly Owner[] = [],
  times: readonly number[],
  leaves: (owner: Owner) => boolean,
): { readonly owners: readonly Owner[]; readonly times: readonly number[] } {
  const stays = owners.map((owner) => !leaves(owner));
  return { owners: owners.filter((_, n) => stays[n]), times: times.filter((_, n) => stays[n]) };
}
