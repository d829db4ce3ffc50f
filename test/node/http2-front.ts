import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { request } from 'node:http';
import { constants, createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import type { Socket } from 'node:net';
import type { KeyPair } from '../../scripts/lab/signing.ts';
import type { Front } from './front.ts';

/**
 * Stands before a real registry, over TLS, and speaks HTTP/2 with whoever can: containerd does. Told to
 * answer otherwise, it resets each stream with INTERNAL_ERROR, whatever the answer was to be.
 */
export async function startHttp2Front(target: string, { key, certificate }: KeyPair): Promise<Front> {
  let isResetting = false;
  const sockets = new Set<Socket>();
  const server = createSecureServer({ key, cert: certificate, allowHTTP1: true }, (incoming, response) => {
    if (!isResetting) forward(target, incoming, response);
    else if (incoming.httpVersionMajor === 2) incoming.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    else incoming.socket.destroy();
  });
  server.on('secureConnection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('sessionError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    host: `127.0.0.1:${port}`,
    answer(listener: RequestListener | undefined) {
      isResetting = listener !== undefined;
    },
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** HTTP/2 has no headers about connections, and names the host in one of its own. */
const OF_CONNECTIONS = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade']);

function forward(target: string, incoming: Http2ServerRequest, response: Http2ServerResponse): void {
  const [host = '', port = ''] = target.split(':');
  const headers = Object.fromEntries(
    Object.entries(incoming.headers).filter(([name]) => !name.startsWith(':')),
  );
  const onward = request({
    host,
    port,
    method: incoming.method,
    path: incoming.url,
    headers: { ...headers, host: target },
  });
  onward.on('response', (answer) => {
    const passed = Object.entries(answer.headers).filter(([name]) => !OF_CONNECTIONS.has(name));
    response.writeHead(answer.statusCode ?? 502, Object.fromEntries(passed));
    answer.pipe(response);
  });
  onward.on('error', () => response.stream?.close());
  incoming.pipe(onward);
}
