import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { formatListenAddress, type ListenAddress } from '../config/listen-address.ts';
import { ListenError } from '../errors.ts';
import { type ReadinessCheck, readiness } from './health.ts';

export type TelemetryServer = {
  /** `host:port` as it is; the port is the real one where 0 was asked for. */
  readonly address: string;
  /** Ends open connections, too. */
  close(): Promise<void>;
};

export type TelemetryServerOptions = {
  readonly listen: ListenAddress;
  readonly metrics: { readonly contentType: string; readonly render: () => Promise<string> };
  readonly checks: readonly ReadinessCheck[];
  /** How long a client may take for its headers, and between requests, in ms. */
  readonly clientTimeoutMs?: number;
};

const MAX_HEADER_BYTES = 8_192;
const MAX_CONNECTIONS = 64;
const CLIENT_TIMEOUT_MS = 5_000;
const PATHS: ReadonlySet<string> = new Set(['/metrics', '/livez', '/healthz', '/readyz']);

type Answer = { readonly status: number; readonly body: string; readonly contentType?: string };

/**
 * Serves /metrics, /livez and its older name /healthz (200 as long as the event loop runs) and /readyz (200
 * or 503, `?verbose` for all parts) to GET and HEAD. Sizes, times and connections are bounded: whoever
 * reaches the port must not be able to hold up the agent. @throws ListenError.
 */
export async function serveTelemetry(options: TelemetryServerOptions): Promise<TelemetryServer> {
  const timeout = options.clientTimeoutMs ?? CLIENT_TIMEOUT_MS;
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: timeout,
      requestTimeout: timeout,
      keepAliveTimeout: timeout,
      connectionsCheckingInterval: Math.min(1_000, timeout),
    },
    (request, response) => {
      answer(options, request)
        .catch((): Answer => ({ status: 500, body: 'internal error\n' }))
        .then((given) => send(request, response, given));
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.listen({ port: options.listen.port, host: options.listen.host || undefined });
  try {
    await once(server, 'listening');
  } catch (error) {
    throw listenError(options.listen, error);
  }
  // The errors of single clients are theirs; a listening server has none that would need an answer.
  server.on('error', () => {});
  const bound = server.address();
  const address =
    typeof bound === 'object' && bound !== null ? { host: bound.address, port: bound.port } : options.listen;
  return {
    address: formatListenAddress(address),
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answer(options: TelemetryServerOptions, request: IncomingMessage): Promise<Answer> {
  const [path = '', query = ''] = (request.url ?? '').split('?', 2);
  if (!PATHS.has(path)) {
    return { status: 404, body: 'not found\n' };
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return { status: 405, body: 'method not allowed\n' };
  }
  if (path === '/livez' || path === '/healthz') return { status: 200, body: 'ok\n' };
  if (path === '/metrics') {
    return { status: 200, body: await options.metrics.render(), contentType: options.metrics.contentType };
  }
  const { ready, text } = readiness(options.checks, new URLSearchParams(query).has('verbose'));
  return { status: ready ? 200 : 503, body: text };
}

function send(request: IncomingMessage, response: ServerResponse, given: Answer): void {
  const body = Buffer.from(given.body);
  // Nothing here takes a body; one that is sent all the same is not waited for.
  const hasBody =
    request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined;
  response.writeHead(given.status, {
    'content-type': given.contentType ?? 'text/plain; charset=utf-8',
    'content-length': body.byteLength,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(given.status === 405 ? { allow: 'GET, HEAD' } : {}),
    ...(hasBody ? { connection: 'close' } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

function listenError(listen: ListenAddress, error: unknown): ListenError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const message = error instanceof Error ? error.message : String(error);
  return new ListenError(
    listenFailureOf(code),
    `cannot listen on ${formatListenAddress(listen)}: ${message}`,
    {
      cause: error,
    },
  );
}

function listenFailureOf(code: string): ListenError['reason'] {
  switch (code) {
    case 'EADDRINUSE':
      return 'addressInUse';
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'addressNotAvailable';
    case 'EACCES':
    case 'EPERM':
      return 'permissionDenied';
    default:
      return 'listenFailed';
  }
}
