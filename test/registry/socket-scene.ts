import type { Socket } from 'node:net';

/** What registries write to a bare connection. */
export const ok = 'HTTP/1.1 200 OK\r\n';
export const megabyte = Buffer.alloc(2 ** 20, 'a');

/** Writes this again and again until nobody listens. */
export function endlessly(socket: Socket, piece: string | Buffer): void {
  const more = (): void => {
    while (socket.writable && socket.write(piece));
  };
  socket.on('drain', more);
  more();
}

export function everyMs(socket: Socket, ms: number, piece: string): void {
  const timer = setInterval(() => socket.write(piece), ms);
  socket.on('close', () => clearInterval(timer));
}
