import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FakeRuntime, fakeRuntime } from './fake-runtime.ts';

const pod = { id: 'sandbox-1', name: 'web', uid: 'uid-1', namespace: 'team-a' };

export type RuntimeSocket = {
  readonly path: string;
  /** Gives every connection to `onConnection`. */
  listen(onConnection: (socket: Socket) => void): Promise<void>;
  /**
   * As a runtime that takes plugins in as a real one does; `onPlugin` is told of each once it is
   * synchronized.
   */
  listenAsRuntime(onPlugin?: (runtime: FakeRuntime, socket: Socket) => void): Promise<void>;
  stopListening(): Promise<void>;
  close(): Promise<void>;
};

/** A Unix socket in a folder of its own where nobody listens yet. */
export async function openRuntimeSocket(): Promise<RuntimeSocket> {
  const folder = await mkdtemp(join(tmpdir(), 'pullwarden-nri-'));
  const path = join(folder, 'nri.sock');
  const sockets: Socket[] = [];
  let server: Server | undefined;

  async function listen(onConnection: (socket: Socket) => void): Promise<void> {
    const listening = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      onConnection(socket);
    });
    server = listening;
    await new Promise<void>((resolve) => listening.listen(path, resolve));
  }

  async function stopListening(): Promise<void> {
    for (const socket of sockets.splice(0)) socket.destroy();
    await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
    server = undefined;
  }

  return {
    path,
    listen,
    listenAsRuntime(onPlugin = () => {}) {
      return listen((socket) => {
        const takeIn = async () => {
          await runtime.call('Configure', { runtimeName: 'fake', requestTimeout: 2_000 });
          await runtime.call('Synchronize', { pods: [pod], containers: [] });
          onPlugin(runtime, socket);
        };
        const runtime = fakeRuntime(
          (bytes) => socket.write(bytes),
          () => {
            takeIn().catch(() => {});
            return new Uint8Array(0);
          },
        );
        socket.on('data', runtime.receive);
        socket.on('close', runtime.end);
      });
    },
    stopListening,
    async close() {
      await stopListening();
      await rm(folder, { recursive: true });
    },
  };
}
