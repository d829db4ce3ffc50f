import { isLoopbackHost, type Reach } from './address.ts';
import { readUpTo } from './body.ts';
import type { Endpoint, TlsSettings } from './endpoint/endpoint.ts';
import type { RegistryLimits } from './limits.ts';
import { Outage } from './outage.ts';
import type { Transport, WireAnswer } from './transport.ts';

export type Followed = {
  readonly answer: WireAnswer;
  /** Whether it is another host's, or came by way of one. Only the registry itself refuses. */
  readonly elsewhere: boolean;
  /** What an answer other than 200 says, as far as it is of interest; its connection is free again. */
  readonly errorBody: Buffer;
};

export type Request = {
  readonly url: URL;
  readonly accept: string;
  readonly authorization: string | undefined;
  readonly signal: AbortSignal;
};

const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * Sends a GET and follows where it leads. Login and configured headers go to the endpoint's own scheme, host
 * and port alone, and never again once the way has led elsewhere; nothing leads from TLS to plain HTTP, and
 * from another machine's registry nothing leads to this machine.
 *
 * @param onRequest called before each request
 * @throws Outage
 */
export async function follow(
  transport: Transport,
  endpoint: Endpoint,
  { url, accept, authorization, signal }: Request,
  { redirects: maxRedirects, errorBytes }: RegistryLimits,
  onRequest: () => void,
): Promise<Followed> {
  let target = url;
  let elsewhere = false;
  for (let redirects = 0; redirects <= maxRedirects; redirects += 1) {
    elsewhere ||= target.origin !== endpoint.base.origin;
    const own = elsewhere
      ? {}
      : { ...endpoint.headers, ...(authorization !== undefined && { authorization }) };
    onRequest();
    const answer = await transport.send({
      method: 'GET',
      url: target,
      headers: { ...own, accept, ...politeHeaders },
      tls: elsewhere ? strangerTls(endpoint.tls) : endpoint.tls,
      reach: elsewhere ? strangerReach(endpoint) : 'registry',
      signal,
    });
    if (!REDIRECTS.has(answer.status)) {
      const errorBody = answer.status === 200 ? Buffer.alloc(0) : await readUpTo(answer, errorBytes);
      return { answer, elsewhere, errorBody };
    }
    const next = readLocation(answer);
    answer.discard();
    const isDowngrade = next?.protocol === 'http:' && endpoint.base.protocol !== 'http:';
    if (next === undefined || isDowngrade)
      throw new Outage('redirect', target.host, { status: answer.status });
    target = next;
  }
  throw new Outage('redirect', target.host);
}

export const politeHeaders = { 'accept-encoding': 'identity', 'user-agent': 'pullwarden' } as const;

/** The runtime trusts the same authorities there; our client certificate goes to the registry alone. */
export function strangerTls(tls: TlsSettings): TlsSettings {
  return { ...tls, client: [] };
}

export function strangerReach(endpoint: Endpoint): Reach {
  return isLoopbackHost(endpoint.base.hostname) ? 'registry' : 'elsewhere';
}

function readLocation(answer: WireAnswer): URL | undefined {
  const location = answer.header('location');
  if (location === undefined || location.length > 8_192 || !URL.canParse(location, answer.url.href))
    return undefined;
  const url = new URL(location, answer.url);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined;
  url.username = '';
  url.password = '';
  url.hash = '';
  return url;
}
