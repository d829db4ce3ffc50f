import { ProviderError } from '../../errors.ts';
import { type DockerConfigEntry, dockerConfigEntry } from '../docker-config.ts';
import type { PluginRequest } from '../exec-protocol.ts';
import { millisecondsOf } from '../go-duration.ts';
import { matchesImage } from '../match-images.ts';
import { accountKey, cacheKeys, flightKey, registryOf } from '../provider-cache-key.ts';
import type { CredentialSource } from '../types.ts';
import type { Provider } from '../validate-provider-config.ts';
import type { AcceptedResponse } from './accepting.ts';
import { type AccountInPlay, accountInPlay } from './account-in-play.ts';
import type { Plugin } from './exec-plugin.ts';
import { createKeptAnswers, type KeptAnswer } from './kept-answers.ts';
import type { PodContext } from './pod-context.ts';
import type { ServiceAccountTokens } from './service-accounts.ts';

/** What a provider gives for one image of one pod. Must never be logged. */
export type Provided =
  | {
      readonly source: CredentialSource;
      readonly entries: readonly DockerConfigEntry[];
      /** How long the answer is kept from now on, ms. */
      readonly goodForMs: number;
    }
  /** It is not asked: as it should be, and nothing that anybody has to repair. */
  | { readonly passedOver: PassedOver };

export type PassedOver = 'otherImage' | 'noServiceAccount' | 'annotationMissing';

export type ProviderLookup = {
  readonly name: string;
  /** @throws ProviderError where kubelet would log an error and go on without this provider's credentials */
  provide(image: string, pod: PodContext): Promise<Provided>;
};

export type ProviderPorts = {
  readonly plugin: Plugin<AcceptedResponse>;
  readonly serviceAccounts: ServiceAccountTokens;
  /** ms, of a clock that only goes forward. */
  readonly now: () => number;
};

/**
 * One provider of the configuration (pkg/credentialprovider/plugin/plugin.go, pluginProvider.provide).
 * Account and token come before the kept answers, every time: who is not that service account any more gets
 * none.
 */
export function createProvider(
  { name, matchImages, defaultCacheDuration, tokenAttributes }: Omit<Provider, 'apiVersion' | 'args' | 'env'>,
  { plugin, serviceAccounts, now }: ProviderPorts,
): ProviderLookup {
  const kept = createKeptAnswers(now);
  const flights = new Map<string, Promise<AcceptedResponse>>();
  const defaultMs = millisecondsOf(defaultCacheDuration);

  async function fly(key: string, request: PluginRequest, namespace: string): Promise<AcceptedResponse> {
    try {
      return await plugin.run(request, { registry: registryOf(request.image), namespace });
    } finally {
      flights.delete(key);
    }
  }

  function ask(
    image: string,
    account: AccountInPlay | undefined,
    namespace: string,
  ): Promise<AcceptedResponse> {
    const key = account ? flightKey(image, account.token, account.annotations) : image;
    const request = {
      image,
      serviceAccountToken: account?.token ?? '',
      serviceAccountAnnotations: account?.annotations,
    };
    const running = flights.get(key) ?? fly(key, request, namespace);
    flights.set(key, running);
    return running;
  }

  function keyOf(account: AccountInPlay | undefined, pod: PodContext): string {
    if (!account) return '';
    const { uid, annotations, token } = account;
    const whose = { namespace: pod.namespace, name: pod.serviceAccountName, uid, annotations };
    return accountKey(tokenAttributes?.cacheType === 'Token' ? { ...whose, token } : whose);
  }

  async function answerFor(
    image: string,
    account: AccountInPlay | undefined,
    pod: PodContext,
  ): Promise<KeptAnswer> {
    const keys = cacheKeys(image, keyOf(account, pod));
    const known = kept.find(keys);
    if (known) return known;
    const { auth, cacheKeyType, cacheDuration } = await ask(image, account, pod.namespace);
    const entries = [...(auth ?? [])].map(([hostKey, login]) =>
      dockerConfigEntry(hostKey, { ...login, email: '' }),
    );
    const durationMs = cacheDuration === undefined ? defaultMs : millisecondsOf(cacheDuration);
    kept.keep(keys[cacheKeyType], entries, durationMs);
    return { entries, goodForMs: Math.max(0, durationMs) };
  }

  return {
    name,
    async provide(image, pod) {
      if (!matchesImage(matchImages, image)) return { passedOver: 'otherImage' };
      if (tokenAttributes === undefined || pod.serviceAccountName === '') {
        if (tokenAttributes?.requireServiceAccount) return { passedOver: 'noServiceAccount' };
        return { source: { kind: 'node', provider: name }, ...(await answerFor(image, undefined, pod)) };
      }
      const account = await accountInPlay(serviceAccounts, tokenAttributes, pod);
      if (account === 'annotationMissing') return { passedOver: account };
      const { namespace, serviceAccountName } = pod;
      const whose = { namespace, name: serviceAccountName, uid: account.uid };
      return {
        source: { kind: 'serviceAccount', ...whose, provider: name },
        ...(await answerFor(image, account, pod)),
      };
    },
  };
}

/** What a provider gives, or why not. */
export async function askProvider(
  provider: ProviderLookup,
  repository: string,
  pod: PodContext,
): Promise<{ readonly provided: Provided } | { readonly error: ProviderError }> {
  try {
    return { provided: await provider.provide(repository, pod) };
  } catch (error) {
    if (error instanceof ProviderError) return { error };
    throw error;
  }
}
