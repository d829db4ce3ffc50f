import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { Status } from './status.ts';

/** One answer, with the headers that a kube-apiserver gives it. */
export type Answer = {
  /** Sends the head of an answer whose body comes in pieces. */
  begin(): void;
  /** A whole line or more of the body. */
  write(body: string | Buffer): void;
  end(): void;
  /** A whole answer of one object. */
  object(code: number, object: object): void;
  status(status: Status): void;
  text(code: number, text: string, headers?: Readonly<Record<string, string>>): void;
  /** Breaks the connection. */
  cut(): void;
  /** Breaks the connection once so many bytes of the body are sent. */
  cutAfter(bytes: number): void;
  isOver(): boolean;
  onOver(listener: () => void): void;
};

/** API Priority and Fairness: which flow a request counted to; only who is known counts to any. */
export type Flow = { readonly flowSchema: string; readonly priorityLevel: string };

export function createAnswer(response: ServerResponse, flow: Flow, onHead: (code: number) => void): Answer {
  let bytesLeft = Number.POSITIVE_INFINITY;

  function head(code: number, headers: Readonly<Record<string, string | number>>): void {
    onHead(code);
    const withFlow = code !== 401;
    response.writeHead(code, {
      'Audit-Id': randomUUID(),
      'Cache-Control': 'no-cache, private',
      'Content-Type': 'application/json',
      ...(code === 403 && { 'X-Content-Type-Options': 'nosniff' }),
      ...(withFlow && {
        'X-Kubernetes-Pf-Flowschema-Uid': flow.flowSchema,
        'X-Kubernetes-Pf-Prioritylevel-Uid': flow.priorityLevel,
      }),
      ...headers,
    });
  }

  function write(body: string | Buffer): void {
    const bytes = Buffer.from(body);
    if (isOver()) return;
    response.write(bytes.subarray(0, Math.min(bytes.length, bytesLeft)));
    bytesLeft -= bytes.length;
    // What was written must be on its way before the connection goes.
    if (bytesLeft <= 0) setImmediate(cut);
  }

  function isOver(): boolean {
    return response.writableEnded || response.destroyed || bytesLeft <= 0;
  }

  function whole(code: number, text: string, headers: Readonly<Record<string, string>> = {}): void {
    if (isOver()) return;
    const body = Buffer.from(text);
    // Beyond what fits into one write the real one sends chunks.
    head(code, { ...headers, ...(body.length < 2_048 && { 'Content-Length': body.length }) });
    write(body);
    if (bytesLeft > 0) response.end();
  }

  function cut(): void {
    response.destroy();
  }

  function object(code: number, value: object, headers: Readonly<Record<string, string>> = {}): void {
    whole(code, `${goJson(value)}\n`, headers);
  }

  return {
    begin() {
      head(200, {});
      response.flushHeaders();
    },
    write,
    end: () => void (isOver() || response.end()),
    object,
    status(status) {
      const seconds = status.details?.retryAfterSeconds;
      object(status.code, status, typeof seconds === 'number' ? { 'Retry-After': String(seconds) } : {});
    },
    text(code, text, headers = {}) {
      whole(code, text, {
        'Content-Type': 'text/plain; charset=utf-8',
        'X-Content-Type-Options': 'nosniff',
        ...headers,
      });
    },
    cut,
    cutAfter(bytes) {
      bytesLeft = bytes;
    },
    isOver,
    onOver: (listener) => void response.on('close', listener),
  };
}

/** JSON as Go's encoder writes it: what HTML could take for markup is escaped. */
export function goJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
