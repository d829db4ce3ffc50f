import { LRUCache } from 'lru-cache';
import type { Refusal } from './answer.ts';
import type { Challenge } from './challenge.ts';
import type { Endpoint } from './endpoint/endpoint.ts';
import { basicHeader, type RegistryLogin } from './login.ts';
import { Outage } from './outage.ts';
import type { Token, TokenScope } from './token.ts';

/** How a registry wants to be asked. */
export type Scheme =
  /** It has been asked for a challenge, and has none. */
  | { readonly scheme: 'none' }
  | { readonly scheme: 'basic' }
  | { readonly scheme: 'bearer'; readonly ask: TokenScope };

/** What a request was sent with. */
export type Sent = {
  readonly how: 'nothing' | 'basic' | 'token';
  readonly header: string | undefined;
  /** A token that a request before this one got; it may have been revoked since. */
  readonly fromCache: boolean;
};

export const sentNothing: Sent = { how: 'nothing', header: undefined, fromCache: false };

/** Gets a token. @throws Outage */
export type FetchToken = (ask: TokenScope, login: RegistryLogin | undefined) => Promise<Token | Refusal>;

export type Authorization = {
  /** How this endpoint wanted to be asked the last time, if that is known. */
  remembered(endpoint: Endpoint): Scheme | undefined;
  remember(endpoint: Endpoint, scheme: Scheme): void;
  /**
   * What to send next; undefined where a login is wanted and there is none that fits.
   *
   * @param fresh asks for a new token although one is known
   * @throws Outage
   */
  answerTo(
    scheme: Scheme,
    login: RegistryLogin | undefined,
    fetchToken: FetchToken,
    fresh: boolean,
  ): Promise<Sent | Refusal | undefined>;
};

const MAX_TOKENS = 1_000;
const MAX_REMEMBERED = 500;
/** A registry may change how it is asked. */
const REMEMBERED_MS = 600_000;

/** Remembers tokens until they expire and how registries want to be asked; no password is kept. */
export function createAuthorization(now: () => number): Authorization {
  const tokens = new LRUCache<string, Token>({ max: MAX_TOKENS });
  const schemes = new LRUCache<string, Scheme>({ max: MAX_REMEMBERED, ttl: REMEMBERED_MS });

  const bearer = async (
    ask: TokenScope,
    login: RegistryLogin | undefined,
    fetchToken: FetchToken,
    fresh: boolean,
  ): Promise<Sent | Refusal> => {
    const key = JSON.stringify([ask.realm.href, ask.service ?? null, ask.scopes, login?.key ?? null]);
    const known = tokens.get(key);
    if (!fresh && known !== undefined && known.expiresAt > now()) return sentToken(known, true);
    const token = await fetchToken(ask, login);
    if ('answer' in token) {
      tokens.delete(key);
      return token;
    }
    tokens.set(key, token);
    return sentToken(token, false);
  };

  return {
    remembered(endpoint) {
      const scheme = schemes.get(endpoint.base.href);
      if (scheme?.scheme !== 'bearer') return scheme;
      return { ...scheme, ask: { ...scheme.ask, scopes: [pullScope(endpoint.repository)] } };
    },
    remember(endpoint, scheme) {
      const usual = scheme.scheme !== 'bearer' || scheme.ask.scopes.join() === pullScope(endpoint.repository);
      // A scope of the registry's own making can't be guessed for the next repository.
      if (usual) schemes.set(endpoint.base.href, scheme);
    },
    async answerTo(scheme, login, fetchToken, fresh) {
      if (scheme.scheme === 'none') return sentNothing;
      if (scheme.scheme === 'bearer') return bearer(scheme.ask, login, fetchToken, fresh);
      const header = basicHeader(login);
      return header === undefined ? undefined : { how: 'basic', header, fromCache: false };
    },
  };
}

function sentToken({ value }: Token, fromCache: boolean): Sent {
  return { how: 'token', header: `Bearer ${value}`, fromCache };
}

function pullScope(repository: string): string {
  return `repository:${repository}:pull`;
}

const MAX_SCOPES = 8;

/**
 * The scheme to answer a 401 with: Bearer before Basic, as containerd. Its scopes are asked for along with
 * the one that the question needs. Undefined for an answer without a challenge.
 *
 * @throws Outage when there are challenges, and none that can be answered: nobody's right was looked at
 */
export function chooseScheme(challenges: readonly Challenge[], endpoint: Endpoint): Scheme | undefined {
  if (challenges.length === 0) return undefined;
  for (const { scheme, parameters } of challenges) {
    const realm = scheme === 'bearer' ? readRealm(parameters.get('realm')) : undefined;
    if (realm === undefined) continue;
    const asked = (parameters.get('scope') ?? '').split(' ').filter((scope) => scope !== '');
    const scopes = [...new Set([pullScope(endpoint.repository), ...asked.slice(0, MAX_SCOPES)])].sort();
    return { scheme: 'bearer', ask: { realm, service: parameters.get('service'), scopes } };
  }
  if (challenges.some(({ scheme }) => scheme === 'basic')) return { scheme: 'basic' };
  throw new Outage('challenge', endpoint.base.host);
}

function readRealm(text: string | undefined): URL | undefined {
  if (text === undefined || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return undefined;
  url.username = '';
  url.password = '';
  url.hash = '';
  return url;
}
