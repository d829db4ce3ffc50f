import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect as connectTcp, isIP, type LookupFunction, type Socket } from 'node:net';
import { connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls';
import { ForbiddenAddress, guardedLookup, isForbidden, type Reach } from './address.ts';
import { Outage, type Seen } from './outage.ts';
import type { ProxySelector } from './proxy.ts';

/** Connects to a host and port, ready for HTTP. @throws Outage */
export type Connect = (hostname: string, port: number) => Promise<Socket>;

/** How connections are made; all but `secureContext` and `isTls` is the same for all of them. */
export type ConnectSettings = {
  /** Undefined for the system's certificate authorities and no client certificate. */
  readonly secureContext: SecureContext | undefined;
  readonly skipVerify: boolean;
  readonly isTls: boolean;
  readonly reach: Reach;
  readonly proxyFor: ProxySelector;
  readonly lookup: LookupFunction | undefined;
  readonly timeoutMs: number;
};

/**
 * Resolves, connects, and looks at the address that the connection really has before one byte is sent; then
 * TLS. Through a proxy by CONNECT where one is to be taken, which resolves names itself: then only addresses
 * that stand in the URL can be refused.
 */
export function createConnector(settings: ConnectSettings): Connect {
  return async (hostname, port) => {
    const host = hostOf(hostname, port, settings.isTls);
    try {
      return await establish(settings, hostname, port, host);
    } catch (error) {
      throw asOutage(error, 'internal', host);
    }
  };
}

/** The connector to a proxy that plain HTTP is asked through: it may be anywhere. */
export function createProxyConnector(proxy: URL, timeoutMs: number): Connect {
  return async () => {
    const deadline = AbortSignal.timeout(timeoutMs);
    return step('proxy', proxy.host, openSocket(proxy.hostname, portOf(proxy), undefined, deadline));
  };
}

async function establish(
  settings: ConnectSettings,
  hostname: string,
  port: number,
  host: string,
): Promise<Socket> {
  const deadline = AbortSignal.timeout(settings.timeoutMs);
  if (!settings.isTls) return direct(settings, hostname, port, host, deadline);
  const url = new URL(`https://${isIP(hostname) === 6 ? `[${hostname}]` : hostname}:${port}`);
  const proxy = settings.proxyFor(url);
  const socket =
    proxy === undefined
      ? await direct(settings, hostname, port, host, deadline)
      : await step('proxy', host, tunnel(proxy, `${url.hostname}:${port}`, deadline));
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
async function tunnel(proxy: URL, target: string, deadline: AbortSignal): Promise<Socket> {
  if (proxy.protocol !== 'http:' && proxy.protocol !== 'https:') throw new Outage('proxy', target);
  const request = proxy.protocol === 'https:' ? httpsRequest : httpRequest;
  const asking = request({
    method: 'CONNECT',
    host: proxy.hostname.replace(/^\[|\]$/g, ''),
    port: portOf(proxy),
    path: target,
    headers: { host: target, ...proxyAuthorization(proxy) },
    agent: false,
    signal: deadline,
  });
  return new Promise((resolve, reject) => {
    asking.on('error', reject);
    asking.on('connect', ({ statusCode = 0 }, socket: Socket, head: Buffer) => {
      socket.on('error', ignore);
      if (statusCode < 200 || statusCode >= 300) {
        socket.destroy();
        return reject(new Outage('proxy', target, { status: statusCode }));
      }
      if (head.byteLength > 0) socket.unshift(head);
      resolve(socket);
    });
    asking.end();
  });
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

/** As it stands in a URL. */
function hostOf(hostname: string, port: number, isTls: boolean): string {
  const name = isIP(hostname) === 6 ? `[${hostname}]` : hostname;
  return port === (isTls ? 443 : 80) ? name : `${name}:${port}`;
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
