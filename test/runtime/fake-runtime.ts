import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status as grpc, Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';
import { criService } from '../../agent/runtime/cri-proto.ts';

/**
 * A runtime that does what a real one cannot be made to do on demand: lack events, end or break its stream
 * in the middle, hang, vanish, send thousands of events at once. It is a real gRPC server on a real Unix
 * socket; what it answers was recorded from containerd 1.6.20, 1.7.24, 2.1.9 and CRI-O 1.37
 * (test/captures/cri-*.json) or is made of the same fields.
 */
export type FakeRuntime = {
  readonly socketPath: string;
  readonly calls: { readonly method: string; readonly request: unknown; readonly authority: string }[];
  /**
   * Answers by method; a method that is missing is Unimplemented, one that returns undefined never answers.
   */
  answers: Record<string, (request: Record<string, unknown>) => Answer | undefined>;
  /** How a stream that is opened begins; it stays open where this is left out. */
  onSubscribe: ((stream: EventStream) => void) | undefined;
  readonly streams: EventStream[];
  send(event: object): void;
  count(method: string): number;
  start(): Promise<void>;
  /** Drops every connection, as a runtime that is killed does. */
  kill(): void;
  cleanUp(): void;
};

export type Answer = object | { readonly code: grpc; readonly details: string };
export type EventStream = ServerWritableStream<unknown, unknown>;

export function createFakeRuntime(): FakeRuntime {
  const folder = mkdtempSync(join(tmpdir(), 'cri-'));
  const socketPath = join(folder, 'cri.sock');
  let server: Server | undefined;

  const runtime: FakeRuntime = {
    socketPath,
    calls: [],
    answers: {},
    onSubscribe: undefined,
    streams: [],
    send(event) {
      for (const stream of runtime.streams) stream.write(event);
    },
    count: (method) => runtime.calls.filter((call) => call.method === method).length,
    async start() {
      const current = new Server();
      server = current;
      for (const name of ['RuntimeService', 'ImageService'] as const) {
        const service = criService(name);
        const handlers = Object.keys(service).map((method) => [method, handlerOf(method)]);
        current.addService(service, Object.fromEntries(handlers));
      }
      await new Promise<void>((resolve, reject) => {
        current.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) =>
          error ? reject(error) : resolve(),
        );
      });
    },
    kill() {
      server?.forceShutdown();
      runtime.streams.length = 0;
      rmSync(socketPath, { force: true });
    },
    cleanUp() {
      runtime.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };

  function handlerOf(method: string) {
    if (method === 'GetContainerEvents') {
      return (stream: EventStream) => {
        runtime.calls.push({ method, request: stream.request, authority: stream.getHost() });
        runtime.streams.push(stream);
        runtime.onSubscribe?.(stream);
      };
    }
    type Call = { readonly request: Record<string, unknown>; getHost(): string };
    return (call: Call, reply: (error: object | null, answer?: object) => void) => {
      runtime.calls.push({ method, request: call.request, authority: call.getHost() });
      const answer =
        runtime.answers[method] ??
        (() => ({ code: grpc.UNIMPLEMENTED, details: `unknown method ${method}` }));
      const given = answer(call.request);
      if (given === undefined) return;
      if ('code' in given) reply(given);
      else reply(null, given);
    };
  }
  return runtime;
}

export function capture(name: string): string {
  return readFileSync(new URL(`../captures/${name}`, import.meta.url), 'utf8');
}

export const podLabels = (name: string): Record<string, string> => ({
  'io.kubernetes.container.name': name,
  'io.kubernetes.pod.name': 'web',
  'io.kubernetes.pod.namespace': 'team-a',
  'io.kubernetes.pod.uid': 'uid-1',
});
