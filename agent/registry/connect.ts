import { once } from 'node:events';
import { connect as connectTcp, isIP, type LookupFunction, type Socket } from 'node:net';
import { connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls';
import { type buildConnector, Client } from 'undici';
import { ForbiddenAddress, guardedLookup, isForbidden, type Reach } from './address.ts';
import { Outage, type Seen } from './outage.ts';
import type { ProxySelector } from './proxy.ts';

/** How connections are made; all but `secureContext` is the same for all of them. */
export type ConnectSettings = {
  /** Undefined for the system's certificate authorities and no client certificate. */
  readonly secureContext: SecureContext | undefined;
  readonly skipVerify: boolean;
  readonly reach: Reach;
  readonly proxyFor: ProxySelector;
  readonly lookup: LookupFunction | undefined;
  readonly timeoutMs: number;
};

/**
 * Undici's connector: resolves, connects, and looks at the address that the connection really has before one
 * byte is sent; then TLS. Through a proxy by CONNECT where one is to be taken, which resolves names itself:
 * then only addresses that stand in the URL can be refused.
 *
 * @throws Outage (through its callback)
 */
export function createConnector(settings: ConnectSettings): buildConnector.connector {
  return (target, callback) => {
    establish(settings, target).then(
      (socket) => callback(null, socket),
      (error: unknown) => callback(asOutage(error, 'internal', hostOf(target)), null),
    );
  };
}

/** The connector to a proxy that plain HTTP is asked through: it may be anywhere. */
export function createProxyConnector(proxy: URL, timeoutMs: number): buildConnector.connector {
  return (target, callback) => {
    const deadline = AbortSignal.timeout(timeoutMs);
    step('proxy', hostOf(target), openSocket(proxy.hostname, portOf(proxy), undefined, deadline)).then(
      (socket) => callback(null, socket),
      (error: unknown) => callback(asOutage(error, 'proxy', hostOf(target)), null),
    );
  };
}

async function establish(settings: ConnectSettings, target: buildConnector.Options): Promise<Socket> {
  const { hostname, protocol } = target;
  const host = hostOf(target);
  const port = Number(target.port) || (protocol === 'https:' ? 443 : 80);
  const deadline = AbortSignal.timeout(settings.timeoutMs);
  const url = new URL(`${protocol}//${isIP(hostname) === 6 ? `[${hostname}]` : hostname}:${port}`);
  const proxy = protocol === 'https:' ? settings.proxyFor(url) : undefined;
  const socket =
    proxy === undefined
      ? await direct(settings, hostname, port, host, deadline)
      : await step('proxy', host, tunnel(proxy, `${url.hostname}:${port}`, settings.timeoutMs, deadline));
  if (protocol !== 'https:') return socket;
  return step('tls', host, secure(socket, hostname, host, settings, deadline));
}

async function direct(
  { reach, lookup }: ConnectSettings,
  hostname: string,
  port: number,
  host: string,
  deadline: AbortSignal,
): Promise<Socket> {
  const socket = await step(
    'connect',
    host,
    openSocket(hostname, port, guardedLookup(reach, lookup), deadline),
  );
  // Not what the name said: what the kernel connected to.
  if (socket.remoteAddress !== undefined && !isForbidden(socket.remoteAddress, reach)) return socket;
  const seen = socket.remoteAddress === undefined ? 'disconnected' : 'forbiddenAddress';
  socket.destroy();
  throw new Outage(seen, host);
}

async function openSocket(
  hostname: string,
  port: number,
  lookup: LookupFunction | undefined,
  deadline: AbortSignal,
): Promise<Socket> {
  const host = hostname.replace(/^\[|\]$/g, '');
  const socket = connectTcp({ host, port, autoSelectFamily: true, noDelay: true, ...(lookup && { lookup }) });
  return ready(socket, 'connect', deadline);
}

async function secure(
  socket: Socket,
  hostname: string,
  host: string,
  { secureContext, skipVerify }: ConnectSettings,
  deadline: AbortSignal,
): Promise<Socket> {
  const tls: TLSSocket = connectTls({
    socket,
    host: hostname,
    ...(isIP(hostname) === 0 && { servername: hostname }),
    ...(secureContext && { secureContext }),
    rejectUnauthorized: !skipVerify,
    ALPNProtocols: ['http/1.1'],
  });
  try {
    return await ready(tls, 'secureConnect', deadline);
  } catch (cause) {
    // Node sets it where the handshake went well and the certificate is not what it should be.
    if (!skipVerify && tls.authorizationError) throw new Outage('certificate', host, { cause });
    throw cause;
  }
}

async function ready<S extends Socket>(socket: S, event: string, deadline: AbortSignal): Promise<S> {
  // Between one listener and the next an error must not go unheard, which would end the process.
  socket.on('error', ignore);
  try {
    await once(socket, event, { signal: deadline });
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** A proxy's CONNECT. Anything but 2xx is the proxy's doing, never the registry's. */
async function tunnel(proxy: URL, target: string, timeoutMs: number, deadline: AbortSignal): Promise<Socket> {
  if (proxy.protocol !== 'http:' && proxy.protocol !== 'https:') throw new Outage('proxy', target);
  const client = new Client(proxy.origin, {
    headersTimeout: timeoutMs,
    connect: { timeout: timeoutMs, allowH2: false },
    allowH2: false,
  });
  try {
    const { statusCode, socket } = await client.connect({
      path: target,
      headers: { host: target, ...proxyAuthorization(proxy) },
      signal: deadline,
    });
    socket.on('error', ignore);
    if (statusCode >= 200 && statusCode < 300 && isSocket(socket)) return socket;
    socket.destroy();
    throw new Outage('proxy', target, { status: statusCode });
  } finally {
    // The tunnel is no longer the client's.
    client.destroy().catch(() => {});
  }
}

/** What a proxy's URL logs in with. */
export function proxyAuthorization(proxy: URL): Record<string, string> {
  if (proxy.username === '' && proxy.password === '') return {};
  // Bytes, as they need not be UTF-8.
  const login = unescapeBytes(`${proxy.username}:${proxy.password}`);
  return { 'proxy-authorization': `Basic ${login.toString('base64')}` };
}

function ignore(): void {}

function unescapeBytes(text: string): Buffer {
  const bytes = text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, 'latin1');
}

function isSocket(stream: object): stream is Socket {
  return 'remoteAddress' in stream && 'setNoDelay' in stream;
}

function hostOf({ hostname, port, host }: buildConnector.Options): string {
  return host ?? (port === '' ? hostname : `${hostname}:${port}`);
}

function portOf(url: URL): number {
  return Number(url.port) || (url.protocol === 'https:' ? 443 : 80);
}

/** Names the step that failed, as far as the error does not know better. */
async function step<T>(seen: Seen, host: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw asOutage(error, seen, host);
  }
}

function asOutage(error: unknown, seen: Seen, host: string): Outage {
  if (error instanceof Outage) return error;
  return new Outage(whatFailed(error, seen), host, { cause: error });
}

function whatFailed(error: unknown, otherwise: Seen): Seen {
  if (error instanceof ForbiddenAddress) return 'forbiddenAddress';
  if (!(error instanceof Error)) return otherwise;
  if (error.name === 'AbortError' || error.name === 'TimeoutError')
    return otherwise === 'proxy' ? 'proxy' : 'timeout';
  const code = 'code' in error ? error.code : undefined;
  if (otherwise !== 'connect') return otherwise;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN' || code === 'ENODATA') return 'nameResolution';
  return code === 'ETIMEDOUT' ? 'timeout' : otherwise;
}
