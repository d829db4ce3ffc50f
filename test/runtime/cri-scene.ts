import { afterEach, beforeEach } from 'vitest';
import { RuntimeError } from '../../agent/errors.ts';
import { type CriClient, createCriClient } from '../../agent/runtime/cri-client.ts';
import { createFakeRuntime, type FakeRuntime } from './fake-runtime.ts';

export const ID = 'a'.repeat(64);

/** As CRI tells it. */
export const sandbox = {
  id: 'eebafcff4cf2755e015f237300e7e617c637e6846fd114d61aaf21490aac4596',
  metadata: { name: 'many', uid: 'd26c60f7-8053-4942-a10c-2ca32652bfbf', namespace: 'team-a', attempt: 0 },
  labels: { app: 'many', 'io.kubernetes.pod.namespace': 'team-a' },
  annotations: { 'lab/note': 'hello', 'kubernetes.io/config.source': 'api' },
};

export type CriScene = {
  readonly runtime: () => FakeRuntime;
  readonly client: () => CriClient;
  /** What the client has said about its connection. */
  readonly connections: readonly boolean[];
};

/** A runtime that answers as a test wants it, and a client of it; made anew for each test of a file. */
export function useCriClient(): CriScene {
  let runtime: FakeRuntime | undefined;
  let client: CriClient | undefined;
  const connections: boolean[] = [];
  const within = <Made>(made: Made | undefined): Made => {
    if (made === undefined) throw new Error('only within a test');
    return made;
  };

  beforeEach(async () => {
    runtime = createFakeRuntime();
    await runtime.start();
    connections.length = 0;
    client = createCriClient({
      socketPath: runtime.socketPath,
      // What is not about deadlines must not run into one on a busy machine.
      callTimeoutMs: 60_000,
      stopTimeoutMs: 60_000,
      onConnectionChange: (connected) => connections.push(connected),
    });
  });
  afterEach(() => {
    client?.close();
    runtime?.cleanUp();
  });

  return { runtime: () => within(runtime), client: () => within(client), connections };
}

export async function failureOf(call: Promise<unknown>): Promise<RuntimeError> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof RuntimeError) return error;
  throw new Error(`expected a RuntimeError, got ${error}`);
}
