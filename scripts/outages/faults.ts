import { once } from 'node:events';
import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export const FAULTS = [
  'refuses connections',
  'hangs',
  'slow 5 s',
  '429 with Retry-After',
  '5xx',
  'garbage',
  'restarts',
] as const;
export type Fault = (typeof FAULTS)[number];

const SLOW_MS = 5_000;

export type FaultyServer = { readonly host: string; close(): Promise<void> };

/** A real HTTP server on loopback with a fault; `answer` is what it says where it says anything in order. */
export async function serveFault(
  fault: Fault | undefined,
  answer: (host: string) => RequestListener,
): Promise<FaultyServer> {
  const sockets = new Set<Socket>();
  let host = '';
  const server = createServer((request, response) => {
    void respond(fault, response, () => answer(host)(request, response));
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    // Whoever connects while it restarts is cut off.
    if (fault === 'restarts') socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  host = `127.0.0.1:${typeof bound === 'object' && bound !== null ? bound.port : 0}`;
  const close = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  if (fault === 'refuses connections') await close();
  return { host, close };
}

async function respond(
  fault: Fault | undefined,
  response: ServerResponse,
  answer: () => void,
): Promise<void> {
  switch (fault) {
    case 'hangs':
      return;
    case 'slow 5 s':
      await sleep(SLOW_MS);
      return answer();
    case '429 with Retry-After':
      response.writeHead(429, { 'retry-after': '30' }).end();
      return;
    case '5xx':
      response.writeHead(503).end('unavailable');
      return;
    case 'garbage':
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>sign in</html>');
      return;
    default:
      return answer();
  }
}
