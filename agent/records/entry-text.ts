import { entryWith, type RecordEntry } from './entry.ts';
import type { ImagePullSecret, ImagePullServiceAccount } from './types.ts';

/** An entry as it stands in its row: short, and with each text that comes up again in memory only once. */
export function entryText({ credentials, verifiedAt }: RecordEntry): string {
  const { nodePodsAccessible, grantedByRuntime, kubernetesSecrets, kubernetesServiceAccounts } = credentials;
  return JSON.stringify({
    ...(nodePodsAccessible && { nodePodsAccessible: verifiedAt.nodePodsAccessible }),
    ...(grantedByRuntime && { grantedByRuntime: verifiedAt.grantedByRuntime }),
    ...(kubernetesSecrets && {
      kubernetesSecrets: kubernetesSecrets.map(({ namespace, name, uid, credentialHash }, n) => [
        namespace,
        name,
        uid,
        verifiedAt.kubernetesSecrets[n] ?? 0,
        credentialHash,
      ]),
    }),
    ...(kubernetesServiceAccounts && {
      kubernetesServiceAccounts: kubernetesServiceAccounts.map(({ namespace, name, uid }, n) => [
        namespace,
        name,
        uid,
        verifiedAt.kubernetesServiceAccounts[n] ?? 0,
      ]),
    }),
  });
}

/** Undefined where the text is none that entryText has made. */
export function parseEntryText(text: string): RecordEntry | undefined {
  const content = parseJson(text);
  if (typeof content !== 'object' || content === null) return undefined;
  const secrets = 'kubernetesSecrets' in content ? parseOwners(content.kubernetesSecrets, secretOf) : none;
  const accounts =
    'kubernetesServiceAccounts' in content ? parseOwners(content.kubernetesServiceAccounts, accountOf) : none;
  const everyone = timeIn(content, 'nodePodsAccessible');
  const byRuntime = timeIn(content, 'grantedByRuntime');
  if (!secrets || !accounts) return undefined;
  return entryWith(
    {
      ...(everyone !== undefined && { nodePodsAccessible: true }),
      ...(byRuntime !== undefined && { grantedByRuntime: true }),
      ...(secrets.owners.length > 0 && { kubernetesSecrets: secrets.owners }),
      ...(accounts.owners.length > 0 && { kubernetesServiceAccounts: accounts.owners }),
    },
    {
      nodePodsAccessible: everyone ?? 0,
      grantedByRuntime: byRuntime ?? 0,
      kubernetesSecrets: secrets.times,
      kubernetesServiceAccounts: accounts.times,
    },
  );
}

type Owners<Owner> = { readonly owners: readonly Owner[]; readonly times: readonly number[] };

const none: Owners<never> = { owners: [], times: [] };

function parseOwners<Owner>(
  list: unknown,
  ownerOf: (account: ImagePullServiceAccount, rest: readonly unknown[]) => Owner | undefined,
): Owners<Owner> | undefined {
  if (!Array.isArray(list)) return undefined;
  const owners: Owner[] = [];
  const times: number[] = [];
  for (const item of list) {
    if (!Array.isArray(item)) return undefined;
    const [namespace, name, uid, time, ...rest]: readonly unknown[] = item;
    const isText = typeof namespace === 'string' && typeof name === 'string' && typeof uid === 'string';
    if (!isText || typeof time !== 'number') return undefined;
    const owner = ownerOf({ namespace: shared(namespace), name: shared(name), uid }, rest);
    if (!owner) return undefined;
    owners.push(owner);
    times.push(time);
  }
  return { owners, times };
}

function secretOf(
  account: ImagePullServiceAccount,
  [credentialHash]: readonly unknown[],
): ImagePullSecret | undefined {
  return typeof credentialHash === 'string' ? { ...account, credentialHash } : undefined;
}

function accountOf(account: ImagePullServiceAccount): ImagePullServiceAccount {
  return account;
}

function timeIn(content: object, name: string): number | undefined {
  const time: unknown = Object.entries(content).find(([key]) => key === name)?.[1];
  return typeof time === 'number' ? time : undefined;
}

/** Namespaces and names are the same in thousands of entries. */
const texts = new Map<string, string>();
const MAX_TEXTS = 10_000;

function shared(text: string): string {
  const known = texts.get(text);
  if (known !== undefined) return known;
  if (texts.size >= MAX_TEXTS) texts.clear();
  texts.set(text, text);
  return text;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
