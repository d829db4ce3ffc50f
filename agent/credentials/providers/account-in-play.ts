import { ProviderError, ServiceAccountError } from '../../errors.ts';
import type { TokenAttributes } from '../validate-provider-config.ts';
import type { PodContext } from './pod-context.ts';
import type { ServiceAccount, ServiceAccountTokens } from './service-accounts.ts';

/** The service account that a provider is asked with. Must never be logged. */
export type AccountInPlay = {
  readonly uid: string;
  readonly annotations: ReadonlyMap<string, string>;
  readonly token: string;
};

/**
 * The pod's service account, its token for this provider, and of its annotations those that the provider asks
 * for (getServiceAccountData and getServiceAccountToken). An annotation that is required and missing is how a
 * service account stays out of it: no error, and no token is made.
 *
 * @throws ProviderError
 */
export async function accountInPlay(
  tokens: ServiceAccountTokens,
  attributes: TokenAttributes,
  pod: PodContext,
): Promise<AccountInPlay | 'annotationMissing'> {
  const account = await readAccount(tokens, pod);
  const required = attributes.requiredServiceAccountAnnotationKeys;
  if (required.some((key) => !account.annotations.has(key))) return 'annotationMissing';
  const annotations = new Map<string, string>();
  for (const key of [...required, ...attributes.optionalServiceAccountAnnotationKeys]) {
    const value = account.annotations.get(key);
    if (value !== undefined) annotations.set(key, value);
  }
  const token = await requestToken(tokens, attributes.serviceAccountTokenAudience, account.uid, pod);
  return { uid: account.uid, annotations, token };
}

async function readAccount(tokens: ServiceAccountTokens, pod: PodContext): Promise<ServiceAccount> {
  let account: ServiceAccount | undefined;
  try {
    account = await tokens.getServiceAccount(pod.namespace, pod.serviceAccountName);
  } catch (error) {
    if (!(error instanceof ServiceAccountError)) throw error;
    throw new ProviderError('serviceAccountUnreadable', `${nameOf(pod)} cannot be read: ${error.message}`);
  }
  if (account === undefined) throw new ProviderError('serviceAccountGone', `${nameOf(pod)} does not exist`);
  return account;
}

async function requestToken(
  tokens: ServiceAccountTokens,
  audience: string,
  serviceAccountUid: string,
  pod: PodContext,
): Promise<string> {
  try {
    const { token } = await tokens.requestToken({
      namespace: pod.namespace,
      serviceAccountName: pod.serviceAccountName,
      serviceAccountUid,
      podName: pod.name,
      podUid: pod.uid,
      audience,
    });
    return token;
  } catch (error) {
    if (!(error instanceof ServiceAccountError)) throw error;
    throw tokenError(error, pod);
  }
}

function tokenError(error: ServiceAccountError, pod: PodContext): ProviderError {
  const account = nameOf(pod);
  switch (error.reason) {
    case 'subjectGone':
      return new ProviderError('serviceAccountGone', `${account} or its pod is gone, or another by now`);
    case 'audienceForbidden':
      return new ProviderError('audienceForbidden', error.message);
    case 'tokenForbidden':
      return new ProviderError(
        'tokenForbidden',
        `no token for ${account} may be requested: ${error.message}`,
      );
    default:
      return new ProviderError('tokenUnavailable', `no token for ${account} can be had: ${error.message}`);
  }
}

function nameOf({ namespace, serviceAccountName }: PodContext): string {
  return `service account ${namespace}/${serviceAccountName}`;
}
