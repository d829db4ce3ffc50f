import { createHash } from 'node:crypto';
import { isIP, type LookupFunction } from 'node:net';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { LRUCache } from 'lru-cache';
import { Agent, Client, type Dispatcher, errors } from 'undici';
import { isForbidden, type Reach } from './address.ts';
import { createConnector, createProxyConnector, proxyAuthorization } from './connect.ts';
import type { TlsSettings } from './endpoint/endpoint.ts';
import type { RegistryLimits } from './limits.ts';
import { Outage, type Seen } from './outage.ts';
import type { ProxySelector } from './proxy.ts';

/** One HTTP request. Redirects are answers like any other. */
export type WireRequest = {
  readonly method: 'GET' | 'POST';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string;
  readonly tls: TlsSettings;
  readonly reach: Reach;
  /** The deadline of the whole question. */
  readonly signal: AbortSignal;
};

export type WireAnswer = {
  readonly url: URL;
  readonly status: number;
  header(name: string): string | undefined;
  /** As often as it stood there. */
  headerValues(name: string): readonly string[];
  /** As it arrives, not decoded. @throws Outage */
  pieces(): AsyncIterable<Uint8Array>;
  /** For who has read enough: the connection is given up unless the rest is short. */
  discard(): void;
};

export type Transport = {
  /** @throws Outage when no answer comes */
  send(request: WireRequest): Promise<WireAnswer>;
  close(): Promise<void>;
};

export type TransportOptions = {
  readonly limits: RegistryLimits;
  readonly proxyFor: ProxySelector;
  /** Instead of the system's name resolution. */
  readonly lookup?: LookupFunction;
};

/** How many sets of connections are kept, one for all registries with the same TLS settings. */
const MAX_POOLS = 32;

/** HTTP/1.1 by undici. Nothing is decoded, since nothing is asked for but identity. */
export function createTransport({ limits, proxyFor, lookup }: TransportOptions): Transport {
  const discardPool = (pool: Dispatcher): void => void pool.close().catch(() => {});
  const pools = new LRUCache<string, Dispatcher>({ max: MAX_POOLS, dispose: discardPool });
  const common = {
    headersTimeout: limits.headersMs,
    bodyTimeout: limits.idleMs,
    maxHeaderSize: limits.headerBytes,
    allowH2: false,
  };

  const pooled = (key: string, make: () => Dispatcher): Dispatcher => {
    const known = pools.get(key);
    if (known !== undefined) return known;
    const made = make();
    pools.set(key, made);
    return made;
  };
  const directly = (tls: TlsSettings, reach: Reach, host: string): Dispatcher =>
    pooled(`${reach} ${fingerprint(tls)}`, () => {
      const secureContext = readSecureContext(tls, host);
      const timeoutMs = limits.connectMs;
      const settings = { secureContext, skipVerify: tls.skipVerify, reach, proxyFor, lookup, timeoutMs };
      return new Agent({
        ...common,
        connections: limits.connectionsPerHost,
        connect: createConnector(settings),
      });
    });
  const throughProxy = (proxy: URL): Dispatcher =>
    pooled(`proxy ${proxy.origin}`, () => {
      return new Client(proxy.origin, { ...common, connect: createProxyConnector(proxy, limits.connectMs) });
    });

  return {
    async send({ method, url, headers, body, tls, reach, signal }) {
      // Names are looked at on the connection; an address is known now, also where a proxy connects.
      const literal = url.hostname.replace(/^\[|\]$/g, '');
      if (isIP(literal) !== 0 && isForbidden(literal, reach)) throw new Outage('forbiddenAddress', url.host);
      // TLS is tunnelled by the connector; plain HTTP is asked of the proxy itself.
      const proxy = url.protocol === 'http:' ? proxyFor(url) : undefined;
      if (proxy !== undefined && proxy.protocol !== 'http:') throw new Outage('proxy', url.host);
      const dispatcher = proxy === undefined ? directly(tls, reach, url.host) : throughProxy(proxy);
      try {
        const answer = await dispatcher.request({
          origin: proxy === undefined ? url.origin : proxy.origin,
          path:
            proxy === undefined
              ? `${url.pathname}${url.search}`
              : `${url.origin}${url.pathname}${url.search}`,
          method,
          headers: withHost(headers, url, proxy),
          body: body ?? null,
          signal,
        });
        return wireAnswer(url, answer);
      } catch (error) {
        throw asOutage(error, url.host);
      }
    },
    async close() {
      const all = [...pools.values()];
      pools.clear();
      await Promise.all(all.map((pool) => pool.destroy().catch(() => {})));
    },
  };
}

function withHost(
  headers: WireRequest['headers'],
  url: URL,
  proxy: URL | undefined,
): Record<string, string | string[]> {
  const own = Object.entries(headers).map(([name, value]): [string, string | string[]] => [
    name,
    typeof value === 'string' ? value : [...value],
  ]);
  if (proxy === undefined) return Object.fromEntries(own);
  return { ...Object.fromEntries(own), host: url.host, ...proxyAuthorization(proxy) };
}

function wireAnswer(url: URL, { statusCode, headers, body }: Dispatcher.ResponseData): WireAnswer {
  const values = (name: string): readonly string[] => {
    const value = headers[name];
    return value === undefined ? [] : typeof value === 'string' ? [value] : value;
  };
  return {
    url,
    status: statusCode,
    header: (name) => values(name)[0],
    headerValues: values,
    async *pieces() {
      try {
        for await (const piece of body) yield asBytes(piece);
      } catch (error) {
        throw asOutage(error, url.host);
      }
    },
    discard() {
      body.on('error', () => {});
      body.dump({ limit: 16_384 }).catch(() => {});
    },
  };
}

function asBytes(piece: unknown): Uint8Array {
  if (piece instanceof Uint8Array) return piece;
  throw new TypeError('a body is bytes');
}

/** @throws Outage when a certificate or key is none */
function readSecureContext({ ca, client }: TlsSettings, host: string): SecureContext | undefined {
  if (ca.length === 0 && client.length === 0) return undefined;
  try {
    return createSecureContext({
      // In addition to the system's, as containerd and CRI-O do.
      ...(ca.length > 0 && { ca: [...getCACertificates('default'), ...ca] }),
      ...(client.length > 0 && {
        cert: client.map(({ certificate }) => certificate),
        key: client.map(({ key }) => key),
      }),
    });
  } catch (cause) {
    throw new Outage('configuration', host, { cause });
  }
}

function fingerprint({ ca, client, skipVerify }: TlsSettings): string {
  if (ca.length === 0 && client.length === 0) return String(skipVerify);
  return createHash('sha256')
    .update(JSON.stringify([ca, client, skipVerify]))
    .digest('base64');
}

/** What broke, by the codes of undici, its parser and the system; a deadline that ran out is a timeout. */
function asOutage(error: unknown, host: string): Outage {
  if (error instanceof Outage) return error;
  return new Outage(whatBroke(error), host, { cause: error });
}

function whatBroke(error: unknown): Seen {
  if (!(error instanceof Error)) return 'internal';
  if (error.name === 'TimeoutError') return 'timeout';
  if (error.name === 'AbortError') return 'aborted';
  if (error instanceof errors.HeadersTimeoutError || error instanceof errors.BodyTimeoutError)
    return 'timeout';
  if (error instanceof errors.HeadersOverflowError) return 'tooLarge';
  if (error instanceof errors.HTTPParserError) return 'notHttp';
  // A header from hosts.toml that no HTTP request may have.
  if (error instanceof errors.InvalidArgumentError) return 'configuration';
  return 'code' in error ? 'disconnected' : 'internal';
}
