import type { PolicyRefusal, Refusal } from './answer.ts';
import { isObject, parseJson } from './body.ts';
import { parseChallenges } from './challenge.ts';
import { Outage } from './outage.ts';
import type { WireAnswer } from './transport.ts';

/**
 * What an answer means. A refusal must be worded in the distribution protocol's own form: the body of errors
 * that the OCI distribution specification describes ("Error Codes"), the header that Docker's registries
 * send, or with 401 a challenge. A status alone is no word of a registry: portals, firewalls, ingress
 * controllers and object stores answer 403 and 404 all day.
 *
 * @param withLogin whether the request carried one: ECR answers 400 to a login that it cannot read or that is
 * for another region, and to a token of its own that has expired.
 * @param answer of the registry itself, not of whom it redirected to, and not 200
 * @throws Outage for everything that is not the registry's word
 */
export function readRefusal(
  answer: WireAnswer,
  errorBody: Buffer,
  withLogin: boolean,
): Refusal | PolicyRefusal {
  const { status } = answer;
  if (status === 429 || status >= 500) throw serverTrouble(answer);
  if (status === 407) throw new Outage('proxy', answer.url.host, { status });
  if (status === 400 && withLogin && /^(DENIED|UNAUTHORIZED)$/.test(errorCode(parseJson(errorBody)) ?? '')) {
    return { answer: 'unauthorized', by: 'registry', status };
  }
  const kind = REFUSALS.get(status);
  if (kind === undefined) throw new Outage('unexpectedStatus', answer.url.host, { status });
  if (!isDistribution(answer, errorBody)) throw new Outage('notDistribution', answer.url.host, { status });
  return kind === 'forbiddenByPolicy' ? { answer: kind, status } : { answer: kind, by: 'registry', status };
}

const REFUSALS: ReadonlyMap<number, Refusal['answer'] | PolicyRefusal['answer']> = new Map([
  [401, 'unauthorized'],
  [403, 'forbidden'],
  [404, 'notFound'],
  [412, 'forbiddenByPolicy'],
  [451, 'forbiddenByPolicy'],
] as const);

function isDistribution(answer: WireAnswer, errorBody: Buffer): boolean {
  if (/^registry\/2/i.test(answer.header('docker-distribution-api-version') ?? '')) return true;
  if (answer.status === 401 && parseChallenges(answer.headerValues('www-authenticate')).length > 0)
    return true;
  return errorCode(parseJson(errorBody)) !== undefined;
}

/** `{"errors":[{"code":"…"}]}` */
function errorCode(body: unknown): string | undefined {
  const errors: unknown = isObject(body) ? body.errors : undefined;
  const [first]: unknown[] = Array.isArray(errors) ? errors : [];
  return isObject(first) && typeof first.code === 'string' ? first.code : undefined;
}

/** 429 and 5xx, of a registry or a token server. */
export function serverTrouble(answer: WireAnswer): Outage {
  const { status, url } = answer;
  const retryAfterMs = readRetryAfter(answer.header('retry-after'));
  const details = { status, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  return new Outage(status === 429 ? 'tooManyRequests' : 'serverError', url.host, details);
}

const LONGEST_WAIT_MS = 3_600_000;

/** Seconds or a date (RFC 9110, section 10.2.3), at most an hour. */
function readRetryAfter(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), LONGEST_WAIT_MS) : undefined;
}
