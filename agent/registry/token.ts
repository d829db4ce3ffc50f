import type { Refusal } from './answer.ts';
import { isObject, parseJson, readBody } from './body.ts';
import { parseChallenges } from './challenge.ts';
import type { RegistryLimits } from './limits.ts';
import { basicHeader, type RegistryLogin } from './login.ts';
import { Outage } from './outage.ts';
import { serverTrouble } from './speech.ts';
import type { WireAnswer, WireRequest } from './transport.ts';

/** What a Bearer challenge asks for. */
export type TokenScope = {
  readonly realm: URL;
  readonly service: string | undefined;
  /** Sorted, each once. */
  readonly scopes: readonly string[];
};

export type Token = {
  readonly value: string /** Milliseconds since the epoch. */;
  readonly expiresAt: number;
};

/**
 * The request for a token: GET with Basic or without (distribution's token specification), POST for an
 * identity token (its OAuth 2 specification).
 */
export function tokenRequest(
  { realm, service, scopes }: TokenScope,
  login: RegistryLogin | undefined,
): Pick<WireRequest, 'method' | 'url' | 'headers'> & { readonly body?: string } {
  if (login?.kind === 'identityToken') {
    const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: 'pullwarden' });
    form.set('refresh_token', login.token);
    if (service !== undefined) form.set('service', service);
    if (scopes.length > 0) form.set('scope', scopes.join(' '));
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return { method: 'POST', url: realm, headers, body: form.toString() };
  }
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.append('service', service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  const authorization = basicHeader(login);
  return { method: 'GET', url, headers: authorization === undefined ? {} : { authorization } };
}

const DEFAULT_LIFETIME_MS = 60_000;
const LONGEST_LIFETIME_MS = 3_600_000;
/** A token must not expire on its way. */
const MARGIN_MS = 5_000;
/** What fits into a header beside others. */
const LONGEST_TOKEN = 12_288;

/** The errors of RFC 6749, section 5.2, that are about who asks, not about how. */
const OAUTH_REFUSALS = new Set([
  'invalid_client',
  'invalid_grant',
  'unauthorized_client',
  'invalid_scope',
  'access_denied',
]);

/**
 * What the token server says: a token, or that this login gets none, which is how a wrong password looks
 * where there is a token server. Docker Hub answers `{"details":…}`, GitLab and GHCR `{"errors":[…]}`,
 * docker_auth plain text with a challenge; a page of HTML is somebody else's.
 *
 * @throws Outage
 */
export async function readTokenAnswer(
  answer: WireAnswer,
  limits: RegistryLimits,
  now: number,
): Promise<Token | Refusal> {
  const { status, url } = answer;
  if (status === 429 || status >= 500) {
    answer.discard();
    throw serverTrouble(answer);
  }
  const body = parseJson(await readBody(answer, limits.tokenBytes));
  if (status === 200) {
    const token = readToken(body, now);
    if (token === undefined) throw new Outage('tokenServer', url.host, { status });
    return token;
  }
  const answered = refusalOf(answer, body);
  if (answered === undefined) throw new Outage('tokenServer', url.host, { status });
  return { answer: answered, by: 'tokenServer', status };
}

function refusalOf(answer: WireAnswer, body: unknown): 'unauthorized' | 'forbidden' | undefined {
  switch (answer.status) {
    case 401: {
      const challenged = parseChallenges(answer.headerValues('www-authenticate')).length > 0;
      return isObject(body) || challenged ? 'unauthorized' : undefined;
    }
    case 403:
      return isObject(body) ? 'forbidden' : undefined;
    case 400: {
      const error: unknown = isObject(body) ? body.error : undefined;
      return typeof error === 'string' && OAUTH_REFUSALS.has(error) ? 'unauthorized' : undefined;
    }
    default:
      return undefined;
  }
}

function readToken(body: unknown, now: number): Token | undefined {
  if (!isObject(body)) return undefined;
  const value = [body.token, body.access_token].find((text) => typeof text === 'string' && text !== '');
  if (typeof value !== 'string' || value.length > LONGEST_TOKEN || !/^[\x21-\x7e]+$/.test(value))
    return undefined;
  const seconds = body.expires_in;
  const lifetime = typeof seconds === 'number' && seconds > 0 ? seconds * 1_000 : DEFAULT_LIFETIME_MS;
  // By its clock or by ours, whichever is earlier.
  const issued = typeof body.issued_at === 'string' ? Date.parse(body.issued_at) : Number.NaN;
  const from = Number.isNaN(issued) ? now : Math.min(issued, now);
  return { value, expiresAt: from + Math.min(lifetime, LONGEST_LIFETIME_MS) - MARGIN_MS };
}
