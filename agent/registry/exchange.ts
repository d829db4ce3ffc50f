import type { Reach } from './address.ts';
import type { PolicyRefusal, Refusal, Spent } from './answer.ts';
import { type Authorization, chooseScheme, type Scheme, type Sent, sentNothing } from './authorization.ts';
import { parseChallenges } from './challenge.ts';
import type { Endpoint } from './endpoint/endpoint.ts';
import type { Endpoints } from './endpoint/endpoints.ts';
import type { RegistryLimits } from './limits.ts';
import type { RegistryLogin } from './login.ts';
import { Outage } from './outage.ts';
import { type Followed, follow, politeHeaders, strangerReach, strangerTls } from './redirects.ts';
import { readRefusal } from './speech.ts';
import { readTokenAnswer, type Token, type TokenScope, tokenRequest } from './token.ts';
import type { Transport, WireAnswer } from './transport.ts';

/** What all questions share. */
export type ExchangeParts = {
  readonly transport: Transport;
  readonly authorization: Authorization;
  readonly endpoints: Endpoints;
  readonly limits: RegistryLimits;
  readonly now: () => number;
};

/** A question's own counters, written as it goes on. */
export type Spending = { -readonly [Name in keyof Spent]: Spent[Name] };

export type Ask = {
  readonly endpoint: Endpoint;
  /** Below the repository: `manifests/REFERENCE`, `blobs/DIGEST`. */
  readonly path: string;
  readonly accept: string;
  readonly login: RegistryLogin | undefined;
  /** Whether a token that is known already will not do. */
  readonly freshToken: boolean;
  readonly signal: AbortSignal;
  readonly spending: Spending;
};

/** An answer 200 whose body is still to come. */
export type Offered = {
  readonly answer: 'offered';
  readonly content: WireAnswer;
  readonly asked: 'withCredential' | 'anonymously';
};

/** Of one question: without a login, with it, and once more with a new token. */
const MAX_ROUNDS = 2;

/**
 * Asks one endpoint one question, with as much of a login as it wants to see.
 *
 * @throws Outage
 */
export async function exchange(parts: ExchangeParts, ask: Ask): Promise<Offered | Refusal | PolicyRefusal> {
  const { authorization } = parts;
  const { endpoint, login } = ask;
  const known = authorization.remembered(endpoint);
  const opening = known === undefined ? sentNothing : await prepare(parts, ask, known, ask.freshToken);
  if (opening !== undefined && 'answer' in opening) return opening;
  let sent = opening ?? sentNothing;
  let heard = await request(parts, ask, sent);
  let current = known;
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const scheme = await nextScheme(parts, ask, heard, sent, current);
    if (scheme === undefined) break;
    current = scheme;
    authorization.remember(endpoint, scheme);
    const next = await prepare(parts, ask, scheme, ask.freshToken || sent.fromCache);
    if (next === undefined || ('how' in next && next.how === 'nothing')) break;
    if ('answer' in next) return next;
    sent = next;
    heard = await request(parts, ask, sent);
  }
  const { answer, elsewhere, errorBody } = heard;
  if (answer.status === 200) {
    const asked = sent.how !== 'nothing' && login !== undefined ? 'withCredential' : 'anonymously';
    return { answer: 'offered', content: answer, asked };
  }
  if (elsewhere) {
    // An object store's refusal is about the link that the registry made, not about who asked for it.
    throw new Outage('redirect', answer.url.host, { status: answer.status });
  }
  if (answer.status === 401 && sent.how === 'token' && login !== undefined && rejectsItsToken(answer)) {
    throw new Outage('challenge', endpoint.base.host, { status: 401 });
  }
  return readRefusal(answer, errorBody, sent.how !== 'nothing');
}

/** A new token that is "invalid" is trouble between the registry and its token server: clocks, keys. */
function rejectsItsToken(answer: WireAnswer): boolean {
  return parseChallenges(answer.headerValues('www-authenticate')).some(
    ({ scheme, parameters }) => scheme === 'bearer' && parameters.get('error') === 'invalid_token',
  );
}

/** What may come of how the question was asked. */
const ABOUT_LOGINS: ReadonlySet<number> = new Set([400, 401, 403, 404]);

/**
 * How to ask again; undefined when this answer is the last word. A few registries send their challenge only
 * from the root of the API (gcr.io), or hide what is private behind 404: they are asked there once, as Docker
 * and CRI-O do.
 */
async function nextScheme(
  parts: ExchangeParts,
  ask: Ask,
  { answer, elsewhere }: Followed,
  sent: Sent,
  current: Scheme | undefined,
): Promise<Scheme | undefined> {
  const { status } = answer;
  if (elsewhere || !ABOUT_LOGINS.has(status)) return undefined;
  const challenges = status === 401 ? parseChallenges(answer.headerValues('www-authenticate')) : [];
  if (sent.how === 'token') {
    if (!sent.fromCache) return undefined;
    // No refusal rests on an old token. Not all registries send a challenge then (ECR Public, Docker
    // Hardened Images).
    return chooseScheme(challenges, ask.endpoint) ?? current;
  }
  const scheme = chooseScheme(challenges, ask.endpoint);
  if (scheme !== undefined) return sent.how === 'basic' && scheme.scheme === 'basic' ? undefined : scheme;
  if (status === 400) return undefined;
  const mayHide = sent.how === 'nothing' && ask.login !== undefined;
  if (!mayHide || current?.scheme === 'none') return undefined;
  return schemeOfRoot(parts, ask);
}

async function schemeOfRoot(parts: ExchangeParts, ask: Ask): Promise<Scheme> {
  const { base } = ask.endpoint;
  const { answer, elsewhere } = await send(
    parts,
    ask,
    new URL(`${base.href.replace(/\/$/, '')}/`),
    undefined,
  );
  const challenges = answer.status === 401 ? parseChallenges(answer.headerValues('www-authenticate')) : [];
  if (answer.status === 200) answer.discard();
  return (elsewhere ? undefined : chooseScheme(challenges, ask.endpoint)) ?? { scheme: 'none' };
}

function prepare(
  parts: ExchangeParts,
  ask: Ask,
  scheme: Scheme,
  fresh: boolean,
): Promise<Sent | Refusal | undefined> {
  const fetchToken = (scope: TokenScope): Promise<Token | Refusal> => fetchTokenFor(parts, ask, scope);
  return parts.authorization.answerTo(scheme, ask.login, fetchToken, fresh);
}

function request(parts: ExchangeParts, ask: Ask, sent: Sent): Promise<Followed> {
  const { base, repository, namespace } = ask.endpoint;
  const url = new URL(`${base.href.replace(/\/$/, '')}/${repository}/${ask.path}`);
  if (namespace !== undefined) url.searchParams.set('ns', namespace);
  return send(parts, ask, url, sent.header);
}

function send(
  { transport, limits }: ExchangeParts,
  { endpoint, accept, signal, spending }: Ask,
  url: URL,
  authorization: string | undefined,
): Promise<Followed> {
  return follow(transport, endpoint, { url, accept, authorization, signal }, limits, () => {
    spending.requests += 1;
  });
}

/** The challenge's realm gets the login: over TLS, or where the registry itself is asked over plain HTTP. */
async function fetchTokenFor(
  { transport, limits, endpoints, now }: ExchangeParts,
  { endpoint, login, signal, spending }: Ask,
  scope: TokenScope,
): Promise<Token | Refusal> {
  const { realm } = scope;
  const isOwn = realm.origin === endpoint.base.origin;
  const mayBePlain = endpoint.base.protocol === 'http:' || (await endpoints.allowsPlainHttp(realm.host));
  if (realm.protocol === 'http:' && !mayBePlain) throw new Outage('plainHttp', realm.host);
  const reach: Reach = isOwn ? 'registry' : strangerReach(endpoint);
  const { headers, ...rest } = tokenRequest(scope, login);
  spending.tokenRequests += 1;
  const answer = await transport.send({
    ...rest,
    headers: { ...(isOwn && endpoint.headers), ...headers, ...politeHeaders, accept: 'application/json' },
    tls: isOwn ? endpoint.tls : strangerTls(endpoint.tls),
    reach,
    signal,
  });
  return readTokenAnswer(answer, limits, now());
}
