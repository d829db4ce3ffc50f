import { LRUCache } from 'lru-cache';
import { ServiceAccountError } from '../../errors.ts';
import type { ServiceAccountToken, ServiceAccountTokens, TokenRequest } from './service-accounts.ts';

/** In ms. `steady` only ever goes forward; `wall` is the node's idea of the time of day, and may jump. */
export type Clocks = { readonly steady: () => number; readonly wall: () => number };

/** A token has some kilobytes at most. */
const MAX_KEPT = 1_000;
/** Kubelet renews when a fifth is left, or after a day (pkg/kubelet/token/token_manager.go). */
const RENEW_AT = 0.8;
const RENEW_AFTER_MS = 24 * 3_600_000;

type Kept = {
  readonly token: ServiceAccountToken;
  readonly renewAt: number;
  readonly endsAt: number;
};

/**
 * Service account tokens, kept in memory until 80 % of their life: one for each pod, account and audience.
 * Where a new one cannot be had, the old one goes on until its end, as in kubelet's token manager; but not
 * where the API server says no. Of both clocks the one that says so first ends it.
 */
export function keepTokens(tokens: ServiceAccountTokens, { steady, wall }: Clocks): ServiceAccountTokens {
  const kept = new LRUCache<string, Kept>({ max: MAX_KEPT });
  const requests = new Map<string, Promise<ServiceAccountToken>>();

  async function renew(key: string, request: TokenRequest): Promise<ServiceAccountToken> {
    try {
      const token = await tokens.requestToken(request);
      const life = token.expirationMs - wall();
      const renewIn = Math.min(life * RENEW_AT, RENEW_AFTER_MS);
      if (life > 0) kept.set(key, { token, renewAt: steady() + renewIn, endsAt: steady() + life });
      return token;
    } finally {
      requests.delete(key);
    }
  }

  function renewOnce(key: string, request: TokenRequest): Promise<ServiceAccountToken> {
    const running = requests.get(key) ?? renew(key, request);
    requests.set(key, running);
    return running;
  }

  function isAlive({ token, endsAt }: Kept): boolean {
    return steady() < endsAt && wall() < token.expirationMs;
  }

  return {
    getServiceAccount: (namespace, name) => tokens.getServiceAccount(namespace, name),
    async requestToken(request) {
      const key = JSON.stringify([
        request.namespace,
        request.serviceAccountName,
        request.serviceAccountUid,
        request.podName,
        request.podUid,
        request.audience,
      ]);
      const known = kept.get(key);
      const alive = known && isAlive(known) ? known : undefined;
      if (known && !alive) kept.delete(key);
      if (alive && steady() < alive.renewAt) return alive.token;
      try {
        return await renewOnce(key, request);
      } catch (error) {
        if (alive && isAlive(alive) && !isNo(error)) return alive.token;
        kept.delete(key);
        throw error;
      }
    },
  };
}

/** The API server answered, and the answer is no: what was good before is not any more. */
function isNo(error: unknown): boolean {
  return error instanceof ServiceAccountError && NO.has(error.reason);
}

const NO: ReadonlySet<ServiceAccountError['reason']> = new Set([
  'audienceForbidden',
  'tokenForbidden',
  'subjectGone',
  'tokenRefused',
]);
