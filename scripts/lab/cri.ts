import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { z } from 'zod';
import { LabError } from './errors.ts';

/** A CRI call that the runtime refused: its gRPC code and its own text. */
export class CriError extends LabError {
  override readonly name = 'CriError';
  readonly method: string;
  /** gRPC status code, 0 to 16. */
  readonly code: number;
  /** The status message, unchanged. */
  readonly details: string;

  constructor(method: string, code: number, details: string) {
    super(`${method}: ${grpc.status[code] ?? code}: ${details}`);
    this.method = method;
    this.code = code;
    this.details = details;
  }
}

const definitions = loadSync(join(import.meta.dirname, 'kubelet.proto'), {
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
});

interface Method {
  path: string;
  requestSerialize(value: object): Buffer;
  responseDeserialize(bytes: Buffer): object;
}

function methodNamed(name: string): Method {
  for (const service of ['RuntimeService', 'ImageService']) {
    const definition = definitions[`runtime.v1.${service}`];
    if (definition === undefined || 'format' in definition) continue;
    const method = Object.hasOwn(definition, name) ? definition[name] : undefined;
    if (method !== undefined && 'requestSerialize' in method) return method;
  }
  throw new LabError(`kubelet.proto has no method ${name}`);
}

/** A connection to the runtime's socket. */
export interface CriConnection {
  /**
   * One unary call.
   * @param deadlineMs default 120 s, as kubelet's (pulls have no limit there; here 10 min would hide a hang).
   * @throws {CriError} when the runtime answers with an error or not in time.
   */
  call<T>(method: string, request: object, answer: z.ZodType<T>, deadlineMs?: number): Promise<T>;
  /** A server stream, until it ends or `signal` aborts it. Messages are queued until they are read. */
  stream<T>(method: string, request: object, answer: z.ZodType<T>, signal: AbortSignal): AsyncGenerator<T>;
  close(): void;
}

/** Connects lazily, and again whenever the runtime comes back. `endpoint` is `unix:///…`. */
export function connectCri(endpoint: string): CriConnection {
  const client = new grpc.Client(endpoint, grpc.credentials.createInsecure(), {
    // Go's gRPC server refuses the socket path that grpc-js would send as :authority.
    'grpc.default_authority': 'localhost',
    'grpc.initial_reconnect_backoff_ms': 50,
    'grpc.min_reconnect_backoff_ms': 50,
    'grpc.max_reconnect_backoff_ms': 500,
    'grpc.max_receive_message_length': 16 * 1024 * 1024,
    // Otherwise clients of one endpoint share a channel, and closing one disturbs the others.
    'grpc.use_local_subchannel_pool': 1,
  });
  return {
    call(name, request, answer, deadlineMs = 120_000) {
      const method = methodNamed(name);
      return new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          method.path,
          (value: object) => method.requestSerialize(value),
          (bytes) => answer.parse(method.responseDeserialize(bytes)),
          request,
          { deadline: Date.now() + deadlineMs },
          (error, value) => {
            if (error !== null) reject(new CriError(name, error.code, error.details));
            else if (value === undefined) reject(new CriError(name, grpc.status.INTERNAL, 'empty answer'));
            else resolve(value);
          },
        );
      });
    },
    async *stream(name, request, answer, signal) {
      const method = methodNamed(name);
      const call = client.makeServerStreamRequest(
        method.path,
        (value: object) => method.requestSerialize(value),
        (bytes) => method.responseDeserialize(bytes),
        request,
      );
      const abort = () => call.cancel();
      signal.addEventListener('abort', abort);
      if (signal.aborted) abort();
      try {
        for await (const message of call) yield answer.parse(message);
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Error && 'code' in error && typeof error.code === 'number') {
          const details = 'details' in error ? String(error.details) : error.message;
          throw new CriError(name, error.code, details);
        }
        throw error;
      } finally {
        signal.removeEventListener('abort', abort);
        call.cancel();
      }
    },
    close: () => client.close(),
  };
}
