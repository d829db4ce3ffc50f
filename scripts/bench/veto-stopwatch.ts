import { once } from 'node:events';
import { createServer, connect as dial, type Socket } from 'node:net';

/** A socket in front of the runtime's NRI socket that measures how long the plugin takes for each answer. */
export type VetoStopwatch = {
  readonly socketPath: string;
  /**
   * Takes what was measured since the last time: µs from the end of the runtime's question to the plugin's
   * answer.
   */
  take(): number[];
  close(): Promise<void>;
};

/**
 * Listens at `socketPath` and passes everything on. It takes for granted that one thing is asked at a time,
 * as the runtime does (containerd/nri, adaptation: one lock around all calls). What it adds itself, two ways
 * through a socket and this process's event loop, is in the figure: the plugin's own time is shorter.
 */
export async function startVetoStopwatch(runtimeSocket: string, socketPath: string): Promise<VetoStopwatch> {
  const sockets = new Set<Socket>();
  let samples: number[] = [];
  const server = createServer((plugin) => {
    const runtime = dial(runtimeSocket);
    let askedAt: number | undefined;
    runtime.on('data', (bytes) => {
      plugin.write(bytes);
      askedAt = performance.now();
    });
    plugin.on('data', (bytes) => {
      if (askedAt !== undefined) samples.push((performance.now() - askedAt) * 1_000);
      askedAt = undefined;
      runtime.write(bytes);
    });
    for (const [socket, other] of [
      [plugin, runtime],
      [runtime, plugin],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
  });
  server.listen(socketPath);
  await once(server, 'listening');
  return {
    socketPath,
    take() {
      const taken = samples;
      samples = [];
      return taken;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
