import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError } from '../errors.ts';
import type { Connection, Identity } from './identity.ts';
import { errorFromStatus, retryAfter } from './status.ts';

export type ApiRequest = {
  readonly method?: 'GET' | 'POST' | 'PATCH';
  /** Absolute, its parts encoded: see `apiPath`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: { readonly contentType: string; readonly object: unknown };
  readonly signal?: AbortSignal | undefined;
};

export type ApiClient = {
  /**
   * One question, one JSON answer, within the client's deadline.
   *
   * @throws ApiError
   */
  ask(request: ApiRequest): Promise<unknown>;
  /**
   * As `ask`, and the answer as it came: for what a tenant may have made so large that parsing it takes long.
   *
   * @throws ApiError
   */
  askBytes(request: ApiRequest): Promise<Buffer>;
  /**
   * A list or a watch: resolves once the API server has answered 200. The caller reads the body, and ends it
   * by the signal.
   *
   * @throws ApiError
   */
  open(request: ApiRequest): Promise<IncomingMessage>;
  close(): void;
};

export type ApiClientOptions = {
  readonly identity: Identity;
  /** For `ask` the whole, retries included; for `open` the time to the answer's head. In ms. */
  readonly timeoutMs?: number;
  readonly userAgent?: string;
};

/** A pod or secret is at most 1.5 MiB in etcd, but JSON may write each byte of it as six. */
const MAX_ANSWER_BYTES = 16 * 1_048_576;
const MAX_STATUS_BYTES = 65_536;
const DNS_SUBDOMAIN = /^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/;

/**
 * Whether an object could have this name or namespace at all (RFC 1123); `..` and the like never reach a
 * path.
 */
export function isObjectName(name: string): boolean {
  return DNS_SUBDOMAIN.test(name) && !name.includes('..');
}

/** As client-go's. */
const MAX_RETRIES = 10;
/** A Retry-After of 0 does not mean: without a pause. */
const MIN_RETRY_MS = 100;

/**
 * HTTPS to the API server. It asks again after a 429 or 5xx with Retry-After, as long as the deadline allows
 * and unless the server does not have the version; once after a 401, with a renewed identity; and once where
 * an idle connection turned out to be closed, if it is a GET.
 */
export function createApiClient({
  identity,
  timeoutMs = 10_000,
  userAgent = 'pullwarden',
}: ApiClientOptions): ApiClient {
  async function attempt(request: ApiRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const connection = await untilAborted(identity.connection(), signal);
    const response = await send(connection, request, signal, userAgent);
    if (response.statusCode !== undefined && response.statusCode >= 200 && response.statusCode < 300) {
      return response;
    }
    throw await refusal(response);
  }

  async function head(request: ApiRequest, deadline: number, signal: AbortSignal): Promise<IncomingMessage> {
    let renewed = false;
    let reconnected = false;
    for (let retries = 0; ; ) {
      try {
        return await attempt(request, signal);
      } catch (error) {
        if (!(error instanceof ApiError) || signal.aborted) throw error;
        if (error.reason === 'unauthorized' && !renewed) {
          renewed = true;
          identity.renew();
        } else if (error.cause === STALE_CONNECTION && !reconnected && (request.method ?? 'GET') === 'GET') {
          reconnected = true;
        } else {
          const pauseMs = pauseBefore(error);
          if (pauseMs === undefined || retries >= MAX_RETRIES || performance.now() + pauseMs >= deadline) {
            throw error;
          }
          retries += 1;
          await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
        }
      }
    }
  }

  async function askBytes(request: ApiRequest): Promise<Buffer> {
    const { signal, clear } = withTimeout(timeoutMs, request.signal);
    try {
      const response = await head(request, performance.now() + timeoutMs, signal);
      return await readBody(response, MAX_ANSWER_BYTES);
    } catch (error) {
      throw asApiError(error, signal, timeoutMs);
    } finally {
      clear();
    }
  }

  return {
    ask: async (request) => parseAnswer(await askBytes(request)),
    askBytes,
    async open(request) {
      const { signal, clear } = withTimeout(timeoutMs, request.signal);
      try {
        return await head(request, performance.now() + timeoutMs, signal);
      } catch (error) {
        throw asApiError(error, signal, timeoutMs);
      } finally {
        clear();
      }
    },
    close: () => identity.close(),
  };
}

/** How long to wait before the same is asked again; undefined where that is of no use. */
function pauseBefore({ reason, retryAfterMs }: ApiError): number | undefined {
  if (reason === 'tooNew' || retryAfterMs === undefined) return undefined;
  return Math.max(retryAfterMs, MIN_RETRY_MS);
}

const STALE_CONNECTION = Symbol('a kept connection was closed before the answer');

function send(
  { server, agent, headers }: Connection,
  { method = 'GET', path, query, body }: ApiRequest,
  signal: AbortSignal,
  userAgent: string,
): Promise<IncomingMessage> {
  const search = query ? `?${new URLSearchParams(query)}` : '';
  const payload = body && Buffer.from(JSON.stringify(body.object));
  return new Promise((resolve, reject) => {
    const outgoing = httpsRequest(
      {
        agent,
        method,
        signal,
        hostname: server.hostname.replace(/^\[|\]$/g, ''),
        port: server.port || 443,
        path: `${server.pathname.replace(/\/$/, '')}${path}${search}`,
        headers: {
          ...headers,
          Accept: 'application/json',
          'User-Agent': userAgent,
          ...(body && payload && { 'Content-Type': body.contentType, 'Content-Length': payload.length }),
        },
      },
      resolve,
    );
    outgoing.on('error', (error) => {
      const stale = outgoing.reusedSocket && !signal.aborted;
      // The error itself may hold what was read of an answer.
      const cause = stale ? STALE_CONNECTION : undefined;
      reject(new ApiError('unreachable', `${server.host}: ${networkText(error)}`, { cause }));
    });
    outgoing.end(payload);
  });
}

async function refusal(response: IncomingMessage): Promise<ApiError> {
  const text = await readBody(response, MAX_STATUS_BYTES).catch(() => Buffer.alloc(0));
  let object: unknown;
  try {
    object = JSON.parse(text.toString('utf8'));
  } catch {
    object = undefined;
  }
  return errorFromStatus(object, response.statusCode, retryAfter(response.headers['retry-after']));
}

async function readBody(response: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response) {
    if (!Buffer.isBuffer(chunk)) continue;
    length += chunk.length;
    if (length > maxBytes) {
      throw new ApiError('answerTooLarge', `the API server answered with more than ${maxBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/**
 * @throws ApiError answerMalformed
 */
export function parseAnswer(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    // The parser's own message quotes the text, which may be a secret's.
    throw new ApiError('answerMalformed', 'the API server did not answer with JSON');
  }
}

/** What ended a request, without the body it may have been reading. */
export function asApiError(error: unknown, signal: AbortSignal, timeoutMs: number): ApiError {
  if (signal.aborted && signal.reason instanceof TimedOut) {
    return new ApiError('timeout', `the API server did not answer within ${timeoutMs} ms`);
  }
  if (error instanceof ApiError) return error;
  return new ApiError('unreachable', networkText(error));
}

class TimedOut extends Error {}

function withTimeout(
  timeoutMs: number,
  outer: AbortSignal | undefined,
): { signal: AbortSignal; clear: () => void } {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(new TimedOut()), timeoutMs);
  const signal = outer ? AbortSignal.any([outer, controller.signal]) : controller.signal;
  return { signal, clear: () => clearTimeout(timer) };
}

function untilAborted<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(new ApiError('unreachable', 'given up'));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

function networkText(error: unknown): string {
  if (!(error instanceof Error)) return 'the connection failed';
  const code = 'code' in error ? `${error.code}` : '';
  return error.message.includes(code) ? error.message : `${code} ${error.message}`;
}
