import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net';
import type { KeyPair } from './signing.ts';

/** A server that misbehaves on purpose, in this process. */
export interface FaultServer {
  /** `127.0.0.1:PORT` */
  host: string;
  close(): Promise<void>;
}

async function listen(server: Server | TcpServer): Promise<FaultServer> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.unref();
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    host: `127.0.0.1:${port}`,
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** An HTTP (or, with a key pair, HTTPS) server that answers as the listener does. */
export function startFaultServer(listener: RequestListener, tls?: KeyPair): Promise<FaultServer> {
  if (tls === undefined) return listen(createServer(listener));
  const server = createTlsServer({ key: tls.key, cert: tls.certificate }, listener);
  server.on('tlsClientError', () => {});
  return listen(server);
}

/** A server of plain TCP: accepts, then does this with the connection. */
export function startTcpServer(onConnection: (socket: Socket) => void): Promise<FaultServer> {
  return listen(createTcpServer(onConnection));
}

/** Always this status, with an error body as registries send it. */
export function always(status: number, code: string, headers: Record<string, string> = {}): RequestListener {
  return (_, response) => {
    const body = JSON.stringify({ errors: [{ code, message: code.toLowerCase().replaceAll('_', ' ') }] });
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body);
  };
}

/** Refuses every request and sends the client for a token to this realm. */
export function bearerChallenge(realm: string): RequestListener {
  const challenge = `Bearer realm="${realm}",service="lab",scope="repository:team-a/app:pull"`;
  return always(401, 'UNAUTHORIZED', { 'www-authenticate': challenge });
}
