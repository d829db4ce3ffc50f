import {
  Client,
  type ClientReadableStream,
  connectivityState,
  credentials,
  status as grpc,
  type Metadata,
  type ServiceError,
  type StatusObject,
} from '@grpc/grpc-js';
import { z } from 'zod';
import { RuntimeError } from '../errors.ts';
import { type CriMethod, type CriService, criMethod } from './cri-proto.ts';
import { messageForLog } from './pull-message.ts';

/** Kubelet's limit on one CRI message (pkg/kubelet/cri/remote, maxMsgSize). */
const MAX_RECEIVE_BYTES = 16 * 1024 * 1024;

export type CriChannel = {
  /**
   * One unary call, its response checked against the schema.
   *
   * @throws RuntimeError, its cause the gRPC error where there is one
   */
  call<Schema extends z.ZodType>(
    service: CriService,
    method: string,
    request: object,
    schema: Schema,
    timeoutMs: number,
  ): Promise<z.output<Schema>>;
  /** A stream of messages without a deadline. */
  stream(method: CriMethod, request: object): ClientReadableStream<object>;
  /**
   * All messages of a stream that ends by itself.
   *
   * @throws RuntimeError
   */
  collect<Schema extends z.ZodType>(
    method: CriMethod,
    request: object,
    metadata: Metadata,
    schema: Schema,
    timeoutMs: number,
  ): Promise<readonly z.output<Schema>[]>;
  connected(): boolean;
  closed(): boolean;
  close(): void;
};

/**
 * A gRPC connection over a Unix socket. It connects on its own and again whenever the runtime comes back.
 */
export function openCriChannel(
  socketPath: string,
  onConnectionChange: (connected: boolean) => void,
): CriChannel {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
    // containerd's Go server refuses an authority that is no host name, as a socket's path would be.
    'grpc.default_authority': 'localhost',
    'grpc.max_receive_message_length': MAX_RECEIVE_BYTES,
    'grpc.initial_reconnect_backoff_ms': 200,
    'grpc.min_reconnect_backoff_ms': 200,
    'grpc.max_reconnect_backoff_ms': 2_000,
    // Whoever calls knows whether trying again is right.
    'grpc.enable_retries': 0,
    // Channels to one socket are otherwise shared, with their backoff.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_http_proxy': 0,
  });
  const channel = client.getChannel();
  let closed = false;
  let connected = false;

  function watch(): void {
    if (closed) return;
    const state = channel.getConnectivityState(true);
    const isConnected = state === connectivityState.READY;
    if (isConnected !== connected) {
      connected = isConnected;
      onConnectionChange(connected);
    }
    channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, watch);
  }
  watch();

  function unary(method: CriMethod, request: object, timeoutMs: number): Promise<object | undefined> {
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        { deadline: Date.now() + timeoutMs },
        (error, response) => (error ? reject(toRuntimeError(error)) : resolve(response)),
      );
    });
  }

  return {
    async call(service, method, request, schema, timeoutMs) {
      const response = await unary(criMethod(service, method), request, timeoutMs);
      const parsed = schema.safeParse(response);
      if (parsed.success) return parsed.data;
      throw new RuntimeError('failed', `the runtime's answer to ${method} makes no sense`, {
        cause: parsed.error,
      });
    },
    stream({ path, requestSerialize, responseDeserialize }, request) {
      return client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request);
    },
    async collect(method, request, metadata, schema, timeoutMs) {
      const { path, requestSerialize, responseDeserialize } = method;
      const options = { deadline: Date.now() + timeoutMs };
      const stream = client.makeServerStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        options,
      );
      const messages: unknown[] = [];
      await new Promise<void>((resolve, reject) => {
        stream.on('data', (message: unknown) => messages.push(message));
        // Every end has a status; the error event repeats the bad ones and must have a listener.
        stream.on('error', () => {});
        stream.on('status', (status) =>
          status.code === grpc.OK ? resolve() : reject(toRuntimeError(status)),
        );
      });
      const parsed = z.array(schema).safeParse(messages);
      if (parsed.success) return parsed.data;
      throw new RuntimeError('failed', `the runtime's answer to ${path} makes no sense`, {
        cause: parsed.error,
      });
    },
    connected: () => connected,
    closed: () => closed,
    close() {
      closed = true;
      client.close();
    },
  };
}

/** The text is the runtime's, cut and cleaned as a pull's is. */
export function toRuntimeError(error: ServiceError | StatusObject): RuntimeError {
  return new RuntimeError(failureOf(error.code), messageForLog(error.details), { cause: error });
}

/** The gRPC status behind a RuntimeError; undefined where the failure was not gRPC's. */
export function grpcStatus(error: unknown): { readonly code: number; readonly details: string } | undefined {
  if (!(error instanceof RuntimeError)) return undefined;
  const { cause } = error;
  if (typeof cause !== 'object' || cause === null || !('code' in cause) || typeof cause.code !== 'number')
    return undefined;
  const details = 'details' in cause && typeof cause.details === 'string' ? cause.details : '';
  return { code: cause.code, details };
}

function failureOf(code: number): RuntimeError['reason'] {
  switch (code) {
    case grpc.UNAVAILABLE:
      return 'unreachable';
    case grpc.DEADLINE_EXCEEDED:
      return 'deadline';
    case grpc.UNIMPLEMENTED:
      return 'unimplemented';
    case grpc.PERMISSION_DENIED:
      return 'permissionDenied';
    default:
      return 'failed';
  }
}
