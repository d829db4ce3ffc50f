import { NriError } from '../errors.ts';
import { asNriError } from './as-nri-error.ts';
import { code, decodeRequest, encodeError, encodeResponse, TtrpcStatus } from './ttrpc-envelope.ts';
import {
  createMessageReader,
  encodeMessage,
  MAX_DATA_BYTES,
  REQUEST,
  RESPONSE,
  type TtrpcMessage,
} from './ttrpc-message.ts';

/** The runtime asks one thing at a time (containerd/nri, adaptation); these are far beyond it. */
const MAX_REQUESTS = 128;
const MAX_REQUEST_BYTES = 16 * 1024 * 1024;
/** setTimeout takes no more. */
const MAX_TIMER_MS = 2 ** 31 - 1;
const NANOS_PER_MS = 1_000_000;
/** Two clocks and two event loops lie between the caller's patience and what is seen of it here. */
const OVERDUE_MARGIN_MS = 100;
/** So soon after a missed deadline, the end of a connection is its consequence. */
const OVERDUE_FOR_MS = 1_000;

/**
 * Answers one call with the bytes of its response. The payload is valid until the handler returns or first
 * awaits. `deadlineMs`: when the caller stops waiting, in ms of `performance.now()`; undefined when it set no
 * timeout. What the handler throws becomes the caller's error: a TtrpcStatus as it is, anything else as
 * Unknown with its message.
 */
export type UnaryHandler = (
  payload: Uint8Array,
  deadlineMs: number | undefined,
) => Promise<Uint8Array> | Uint8Array;

export type TtrpcServerOptions = {
  /** Service name to method name to handler. */
  readonly services: ReadonlyMap<string, ReadonlyMap<string, UnaryHandler>>;
  readonly write: (bytes: Uint8Array) => void;
  /** Requests not yet answered, at most; default 128. */
  readonly maxRequests?: number;
  /** Bytes of them, at most; default 16 MiB. */
  readonly maxRequestBytes?: number;
};

export type TtrpcServer = {
  /**
   * Takes bytes in. What a caller may get wrong is answered with a status, as containerd/ttrpc does.
   * @throws NriError `messageTooLarge`, `streamId`, `unexpectedMessage`, `tooManyRequests`: the connection
   * is over.
   */
  receive(bytes: Uint8Array): void;
  /** The connection ended. @throws NriError `truncated` */
  end(): void;
  /** Nothing is written any more; answers that come later are dropped. */
  close(): void;
  /** Requests that are not answered yet. */
  pending(): number;
  /**
   * The method of a call whose deadline passed just now, or is about to: the caller may have gone away for
   * it.
   */
  overdue(): string | undefined;
};

type Pending = {
  readonly bytes: number;
  method: string;
  deadlineMs: number | undefined;
  timer: NodeJS.Timeout | undefined;
};

/** The serving side of one ttrpc connection; unary calls only. */
export function createTtrpcServer(options: TtrpcServerOptions): TtrpcServer {
  const { services, write, maxRequests = MAX_REQUESTS, maxRequestBytes = MAX_REQUEST_BYTES } = options;
  const pending = new Map<number, Pending>();
  let pendingBytes = 0;
  let lastStreamId = 0;
  let closed = false;
  let expired: { readonly method: string; readonly atMs: number } | undefined;
  const reader = createMessageReader(onMessage);

  function onMessage(message: TtrpcMessage): void {
    const { streamId, type } = message;
    if (closed) return;
    if (type !== REQUEST) {
      // Types of a later ttrpc are to be ignored (containerd/ttrpc, server.go); data and responses answer
      // nothing here.
      if (type > 3) return;
      throw new NriError('unexpectedMessage', `a message of type ${type} to a server of unary calls`);
    }
    if (streamId % 2 !== 1 || streamId <= lastStreamId) {
      throw new NriError('streamId', `request ${streamId} after ${lastStreamId}`);
    }
    lastStreamId = streamId;
    if (pending.size >= maxRequests || pendingBytes + message.data.length > maxRequestBytes) {
      throw new NriError('tooManyRequests', `${pending.size} requests are unanswered`);
    }
    begin(message);
  }

  function begin({ streamId, data }: TtrpcMessage): void {
    const entry: Pending = { bytes: data.length, method: '', deadlineMs: undefined, timer: undefined };
    pending.set(streamId, entry);
    pendingBytes += entry.bytes;
    try {
      const { service, method, payload, timeoutNano } = decodeRequest(data);
      const handler = findHandler(service, method);
      if (timeoutNano < 0) throw deadlineExceeded();
      const timeoutMs = timeoutNano / NANOS_PER_MS;
      entry.method = method;
      if (timeoutNano > 0) entry.deadlineMs = performance.now() + timeoutMs;
      const answer = handler(payload, entry.deadlineMs);
      if (answer instanceof Uint8Array) {
        settle(streamId, answer);
        return;
      }
      answer.then(
        (response) => settle(streamId, response),
        (error: unknown) => settle(streamId, toStatus(error)),
      );
      if (timeoutNano === 0) return;
      // An answer of its own at the deadline, so that a handler that never ends holds no place for ever.
      const expire = () => {
        expired = { method, atMs: performance.now() };
        settle(streamId, deadlineExceeded());
      };
      entry.timer = setTimeout(expire, Math.min(timeoutMs, MAX_TIMER_MS));
    } catch (error) {
      settle(streamId, toStatus(error));
    }
  }

  function findHandler(service: string, method: string): UnaryHandler {
    const methods = services.get(service);
    if (methods === undefined) throw new TtrpcStatus(code.unimplemented, `service ${service.slice(0, 256)}`);
    const handler = methods.get(method);
    if (handler === undefined) throw new TtrpcStatus(code.unimplemented, `method ${method.slice(0, 256)}`);
    return handler;
  }

  function settle(streamId: number, answer: Uint8Array | TtrpcStatus): void {
    const entry = pending.get(streamId);
    if (entry === undefined) return;
    pending.delete(streamId);
    pendingBytes -= entry.bytes;
    clearTimeout(entry.timer);
    write(encodeMessage({ streamId, type: RESPONSE, flags: 0, data: envelope(answer) }));
  }

  return {
    receive: (bytes) => reader.receive(bytes),
    end: () => reader.end(),
    close() {
      closed = true;
      for (const { timer } of pending.values()) clearTimeout(timer);
      pending.clear();
      pendingBytes = 0;
    },
    pending: () => pending.size,
    overdue() {
      const now = performance.now();
      if (expired !== undefined && now - expired.atMs < OVERDUE_FOR_MS) return expired.method;
      const isOver = ({ deadlineMs = Number.POSITIVE_INFINITY }: Pending) =>
        now > deadlineMs - OVERDUE_MARGIN_MS;
      return [...pending.values()].find(isOver)?.method;
    },
  };
}

/** Most answers are this one: encoded once. */
const emptyResponse = encodeResponse(new Uint8Array(0));

function envelope(answer: Uint8Array | TtrpcStatus): Uint8Array {
  if (answer instanceof Uint8Array && answer.length === 0) return emptyResponse;
  const data = answer instanceof TtrpcStatus ? encodeError(answer) : encodeResponse(answer);
  if (data.length <= MAX_DATA_BYTES) return data;
  return encodeError(new TtrpcStatus(code.resourceExhausted, `an answer of ${data.length} bytes`));
}

function deadlineExceeded(): TtrpcStatus {
  return new TtrpcStatus(code.deadlineExceeded, 'context deadline exceeded');
}

/** As containerd/ttrpc: what is no status is Unknown, and its text reaches the caller. */
function toStatus(error: unknown): TtrpcStatus {
  if (error instanceof TtrpcStatus) return error;
  if (error instanceof NriError && error.reason === 'malformed') {
    return new TtrpcStatus(code.invalidArgument, `unmarshal request error: ${error.message}`);
  }
  return new TtrpcStatus(code.unknown, error instanceof Error ? error.message : asNriError(error).message);
}
