import { once } from 'node:events';
import { createServer, connect as dial, type Socket } from 'node:net';

/** One frame of the multiplexer, header and all, as it crossed the runtime's NRI socket. */
export interface RecordedFrame {
  /** Counts the connections that were made, from 1. */
  connection: number;
  from: 'runtime' | 'plugin';
  frame: Buffer;
}

/** A socket beside the runtime's own that records what crosses it. */
export interface NriTap {
  socketPath: string;
  frames: RecordedFrame[];
  close(): Promise<void>;
}

const headerBytes = 8;

function frameSplitter(onFrame: (frame: Buffer) => void): (bytes: Buffer) => void {
  let pending: Buffer = Buffer.alloc(0);
  return (bytes) => {
    pending = Buffer.concat([pending, bytes]);
    while (pending.length >= headerBytes) {
      const end = headerBytes + pending.readUInt32BE(4);
      if (pending.length < end) return;
      onFrame(Buffer.from(pending.subarray(0, end)));
      pending = pending.subarray(end);
    }
  };
}

/** Listens at `socketPath` and passes every connection on to `runtimeSocket`. */
export async function tapNri(runtimeSocket: string, socketPath: string): Promise<NriTap> {
  const frames: RecordedFrame[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;

  const server = createServer((plugin) => {
    connections += 1;
    const connection = connections;
    const runtime = dial(runtimeSocket);
    const record = (from: RecordedFrame['from'], source: Socket, target: Socket) => {
      source.on(
        'data',
        frameSplitter((frame) => frames.push({ connection, from, frame })),
      );
      source.pipe(target);
      source.on('error', () => target.destroy());
      source.on('close', () => target.destroy());
      sockets.add(source);
    };
    record('plugin', plugin, runtime);
    record('runtime', runtime, plugin);
  });
  server.listen(socketPath);
  await once(server, 'listening');
  return {
    socketPath,
    frames,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
