import { connect, type Socket } from 'node:net';
import { type FaultServer, startTcpServer } from '../../scripts/lab/fault-server.ts';

/**
 * A way to a real registry that can be held: while it is, connections are accepted and nothing is answered.
 */
export type HeldRegistry = FaultServer & {
  hold(): void;
  release(): void;
  /** Connections that are held. */
  waiting(): number;
};

export async function startHeldRegistry(target: string): Promise<HeldRegistry> {
  const [host = '', port = ''] = target.split(':');
  const waiting = new Set<Socket>();
  const open = new Set<Socket>();
  let held = false;

  function forward(client: Socket): void {
    const upstream = connect({ host, port: Number(port) });
    open.add(client).add(upstream);
    for (const socket of [client, upstream]) {
      socket.on('error', () => undefined);
      socket.on('close', () => {
        open.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream).pipe(client);
  }

  const server = await startTcpServer((client) => {
    if (held) waiting.add(client);
    else forward(client);
  });
  return {
    ...server,
    hold() {
      held = true;
      // Clients keep connections for the next request; those must not get through either.
      for (const socket of open) socket.destroy();
    },
    waiting: () => waiting.size,
    release() {
      held = false;
      for (const client of waiting) client.destroy();
      waiting.clear();
    },
  };
}
