import { z } from 'zod';
import type { PluginRequest, PluginResponse } from '../../../agent/credentials/exec-protocol.ts';
import { type AcceptedResponse, accepting } from '../../../agent/credentials/providers/accepting.ts';
import type { Plugin } from '../../../agent/credentials/providers/exec-plugin.ts';
import type { ServiceAccountTokens } from '../../../agent/credentials/providers/service-accounts.ts';
import type { Provider } from '../../../agent/credentials/validate-provider-config.ts';
import { ProviderError, ServiceAccountError } from '../../../agent/errors.ts';

/** The parts that several of the vector files have in common. */

const login = z.object({ username: z.string().default(''), password: z.string().default('') });
export const auth = z.record(z.string(), login);

const tokenAttributes = z.object({
  serviceAccountTokenAudience: z.string(),
  cacheType: z.enum(['ServiceAccount', 'Token']),
  requireServiceAccount: z.boolean(),
  requiredServiceAccountAnnotationKeys: z.array(z.string()).default([]),
  optionalServiceAccountAnnotationKeys: z.array(z.string()).default([]),
});

export const recordedProvider = z.object({
  name: z.string(),
  matchImages: z.array(z.string()),
  tokenAttributes: tokenAttributes.optional(),
});

export const recordedPod = z.object({ namespace: z.string(), name: z.string(), uid: z.string() });

/** A request as it is recorded: no annotations at all where no service account is in play. */
export type RecordedRequest = {
  readonly image: string;
  readonly serviceAccountToken: string;
  readonly serviceAccountAnnotations: Readonly<Record<string, string>> | null;
};

function recordedRequest(request: PluginRequest): RecordedRequest {
  const { image, serviceAccountToken, serviceAccountAnnotations } = request;
  return {
    image,
    serviceAccountToken,
    serviceAccountAnnotations: serviceAccountAnnotations
      ? Object.fromEntries(serviceAccountAnnotations)
      : null,
  };
}

export type RecordedAnswer =
  | {
      readonly auth?: Readonly<Record<string, z.infer<typeof login>>> | null | undefined;
      readonly cacheKeyType: string;
      readonly cacheDurationMs?: number | undefined;
    }
  | { readonly error: string };

/**
 * In place of the process, for vectors that do not record one: answers what was recorded, and says what it
 * was asked.
 */
export function recordedPlugin(
  provider: Pick<Provider, 'name' | 'tokenAttributes'>,
  answer: () => RecordedAnswer,
  asked: (request: RecordedRequest) => void,
): Plugin<AcceptedResponse> {
  const plugin: Plugin = {
    async run(request) {
      asked(recordedRequest(request));
      const now = answer();
      if ('error' in now) throw new ProviderError('exitedNonZero', 'recorded');
      return responseOf(now);
    },
  };
  return accepting(plugin, provider);
}

function responseOf(answer: Exclude<RecordedAnswer, { error: string }>): PluginResponse {
  const { cacheKeyType, cacheDurationMs } = answer;
  return {
    cacheKeyType,
    cacheDuration: cacheDurationMs === undefined ? undefined : BigInt(cacheDurationMs) * 1_000_000n,
    auth: answer.auth ? new Map(Object.entries(answer.auth)) : undefined,
  };
}

/** In place of the API server: what it would answer now. */
export function recordedServer(
  now: () => {
    readonly account: { readonly uid: string; readonly annotations: ReadonlyMap<string, string> } | undefined;
    readonly token: string | undefined;
  },
  asked: { readonly account: () => void; readonly token: (request: object) => void } = {
    account: () => {},
    token: () => {},
  },
): ServiceAccountTokens {
  return {
    async getServiceAccount() {
      asked.account();
      return now().account;
    },
    async requestToken(request) {
      asked.token(request);
      const { token } = now();
      if (token === undefined) throw new ServiceAccountError('apiServerUnavailable', 'recorded');
      return { token, expirationMs: Number.MAX_SAFE_INTEGER };
    },
  };
}
