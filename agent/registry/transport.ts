import { createHash } from 'node:crypto';
import { Agent, type ClientRequestArgs, request as httpRequest, type IncomingMessage } from 'node:http';
import { isIP, type LookupFunction, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { LRUCache } from 'lru-cache';
import { isForbidden, type Reach } from './address.ts';
import { type Connect, createConnector, createProxyConnector, proxyAuthorization } from './connect.ts';
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
/** A connection that nobody has used for so long is closed: registries close theirs after 5 s and more. */
const IDLE_CONNECTION_MS = 4_000;
/** So much of an answer that nobody reads is taken in, so that its connection can be used again. */
const DISCARDED_BYTES = 16_384;

/**
 * HTTP/1.1 by Node's own client, whose parser is native code: the agent's image runs without a compiler
 * (`--jitless`), where there is no WebAssembly, which undici needs. Nothing is decoded, since nothing is asked
 * for but identity.
 */
export function createTransport({ limits, proxyFor, lookup }: TransportOptions): Transport {
  const pools = new LRUCache<string, ConnectionPool>({ max: MAX_POOLS, dispose: (pool) => pool.retire() });

  const pooled = (key: string, connect: () => Connect): ConnectionPool => {
    const known = pools.get(key);
    if (known !== undefined) return known;
    const made = new ConnectionPool(connect(), limits.connectionsPerHost);
    pools.set(key, made);
    return made;
  };
  const directly = ({ tls, reach, url }: WireRequest): ConnectionPool =>
    pooled(`${url.protocol} ${reach} ${fingerprint(tls)}`, () => {
      const secureContext = readSecureContext(tls, url.host);
      const timeoutMs = limits.connectMs;
      return createConnector({
        secureContext,
        skipVerify: tls.skipVerify,
        isTls: url.protocol === 'https:',
        reach,
        proxyFor,
        lookup,
        timeoutMs,
      });
    });
  const throughProxy = (proxy: URL): ConnectionPool =>
    pooled(`proxy ${proxy.origin}`, () => createProxyConnector(proxy, limits.connectMs));

  return {
    async send(request) {
      const { url, reach, signal } = request;
      // Names are looked at on the connection; an address is known now, also where a proxy connects.
      const literal = url.hostname.replace(/^\[|\]$/g, '');
      if (isIP(literal) !== 0 && isForbidden(literal, reach)) throw new Outage('forbiddenAddress', url.host);
      // TLS is tunnelled by the connector; plain HTTP is asked of the proxy itself.
      const proxy = url.protocol === 'http:' ? proxyFor(url) : undefined;
      if (proxy !== undefined && proxy.protocol !== 'http:') throw new Outage('proxy', url.host);
      try {
        const pool = proxy === undefined ? directly(request) : throughProxy(proxy);
        const answer = await exchange(pool, request, proxy, limits);
        return wireAnswer(url, answer, limits.idleMs, signal);
      } catch (error) {
        throw asOutage(error, url.host, signal);
      }
    },
    async close() {
      for (const pool of pools.values()) pool.destroy();
      pools.clear();
    },
  };
}

/** Kept connections, made by a connector of ours: TLS is on them before HTTP sees them. */
class ConnectionPool extends Agent {
  readonly #connect: Connect;

  constructor(connect: Connect, connectionsPerHost: number) {
    super({ keepAlive: true, maxSockets: connectionsPerHost, timeout: IDLE_CONNECTION_MS });
    this.#connect = connect;
  }

  override createConnection(
    { host, port }: ClientRequestArgs,
    callback?: (error: Error | null, socket: Duplex) => void,
  ): undefined {
    this.#connect(String(host), Number(port)).then(
      (socket) => callback?.(null, socket),
      (error: Error) => callback?.(error, new Socket()),
    );
  }

  /** What is under way goes on, and no connection is kept after it. */
  retire(): void {
    this.maxFreeSockets = 0;
    for (const sockets of Object.values(this.freeSockets))
      for (const socket of sockets ?? []) socket.destroy();
  }
}

/** One request and the head of its answer; a kept connection that had been closed meanwhile is no answer. */
async function exchange(
  pool: ConnectionPool,
  request: WireRequest,
  proxy: URL | undefined,
  limits: RegistryLimits,
): Promise<IncomingMessage> {
  for (let isFirst = true; ; isFirst = false) {
    try {
      return await exchangeOnce(pool, request, proxy, limits);
    } catch (error) {
      if (!(error instanceof StaleConnection)) throw error;
      if (!isFirst || request.method !== 'GET') throw error.cause;
    }
  }
}

class StaleConnection extends Error {}

function exchangeOnce(
  pool: ConnectionPool,
  { method, url, headers, body, signal }: WireRequest,
  proxy: URL | undefined,
  limits: RegistryLimits,
): Promise<IncomingMessage> {
  const { hostname, port, protocol } = proxy ?? url;
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({
      agent: pool,
      method,
      signal,
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port) || (protocol === 'https:' ? 443 : 80),
      path:
        proxy === undefined ? `${url.pathname}${url.search}` : `${url.origin}${url.pathname}${url.search}`,
      headers: withHost(headers, url, proxy),
      maxHeaderSize: limits.headerBytes,
      setHost: false,
    });
    let waiting: NodeJS.Timeout | undefined;
    let answer: IncomingMessage | undefined;
    const broken = (error: Error): void => {
      clearTimeout(waiting);
      // What the parser says about a body; the answer itself would only say that it ends. What comes after a
      // whole answer is no part of it.
      if (answer !== undefined) return void (answer.complete || answer.destroy(error));
      const isStale =
        outgoing.reusedSocket && 'code' in error && error.code === 'ECONNRESET' && !signal.aborted;
      reject(isStale ? new StaleConnection('', { cause: error }) : error);
    };
    outgoing.on('socket', () => {
      waiting = setTimeout(() => outgoing.destroy(new Outage('timeout', url.host)), limits.headersMs);
    });
    outgoing.on('response', (incoming) => {
      clearTimeout(waiting);
      answer = incoming;
      // Between an answer and whoever reads it an error must not go unheard, which would end the process.
      incoming.on('error', () => {});
      resolve(incoming);
    });
    outgoing.on('upgrade', (_, socket) => {
      socket.destroy();
      broken(new Outage('disconnected', url.host));
    });
    outgoing.on('error', broken);
    outgoing.end(body);
  });
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
  const host = { host: url.host };
  if (proxy === undefined) return { ...host, ...Object.fromEntries(own) };
  return { ...Object.fromEntries(own), ...host, ...proxyAuthorization(proxy) };
}

function wireAnswer(url: URL, incoming: IncomingMessage, idleMs: number, signal: AbortSignal): WireAnswer {
  const values = (name: string): readonly string[] => incoming.headersDistinct[name] ?? [];
  return {
    url,
    status: incoming.statusCode ?? 0,
    header: (name) => values(name)[0],
    headerValues: values,
    async *pieces() {
      // Counts only while a piece is waited for: whoever reads slowly is no outage.
      const wait = () => setTimeout(() => incoming.destroy(new Outage('timeout', url.host)), idleMs);
      let idle = wait();
      try {
        for await (const piece of incoming) {
          clearTimeout(idle);
          yield asBytes(piece);
          idle = wait();
        }
        // A request that is given up lets its answer end as if it were whole.
        if (signal.aborted || !incoming.complete)
          throw new Outage(signal.aborted ? givenUp(signal) : 'disconnected', url.host);
      } catch (error) {
        throw asOutage(error, url.host, signal);
      } finally {
        clearTimeout(idle);
      }
    },
    discard() {
      let left = DISCARDED_BYTES;
      incoming.on('data', (piece: Buffer) => {
        left -= piece.byteLength;
        if (left < 0) incoming.destroy();
      });
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

function asOutage(error: unknown, host: string, signal: AbortSignal): Outage {
  if (error instanceof Outage) return error;
  return new Outage(whatBroke(error, signal), host, { cause: error });
}

/** What broke, by the codes of Node's parser and of the system; a deadline that ran out is a timeout. */
function whatBroke(error: unknown, signal: AbortSignal): Seen {
  if (signal.aborted) return givenUp(signal);
  if (!(error instanceof Error)) return 'internal';
  const code = 'code' in error ? String(error.code) : undefined;
  if (code === undefined) return 'internal';
  if (code === 'HPE_HEADER_OVERFLOW') return 'tooLarge';
  if (code.startsWith('HPE_')) return 'notHttp';
  // A header from hosts.toml that no HTTP request may have.
  if (code.startsWith('ERR_INVALID_') || code.startsWith('ERR_HTTP_')) return 'configuration';
  return 'disconnected';
}

function givenUp({ reason }: AbortSignal): Seen {
  return reason instanceof Error && reason.name === 'TimeoutError' ? 'timeout' : 'aborted';
}
