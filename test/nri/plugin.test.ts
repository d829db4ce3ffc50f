import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NriError } from '../../agent/errors.ts';
import { createMux } from '../../agent/nri/mux.ts';
import { keepNriConnection } from '../../agent/nri/nri-connection.ts';
import { connectPlugin, type Plugin, type PluginOptions } from '../../agent/nri/plugin.ts';
import { encodeRequest } from '../../agent/nri/ttrpc-envelope.ts';
import { encodeMessage, REQUEST } from '../../agent/nri/ttrpc-message.ts';
import { type FakeRuntime, fakeRuntime, message } from './fake-runtime.ts';

const pod = { id: 'sandbox-1', name: 'web', uid: 'uid-1', namespace: 'team-a' };
const container = { id: 'container-1', podSandboxId: 'sandbox-1', name: 'main' };

const createContainerPayload = message('CreateContainerRequest', { pod, container });

let folder: string;
let socketPath: string;
let server: Server | undefined;
const sockets: Socket[] = [];
const closers: (() => void)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pullwarden-nri-'));
  socketPath = join(folder, 'nri.sock');
});

afterEach(async () => {
  for (const close of closers.splice(0)) close();
  await stopListening();
  await rm(folder, { recursive: true });
});

async function stopListening(): Promise<void> {
  for (const socket of sockets.splice(0)) socket.destroy();
  await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  server = undefined;
}

/** Listens at the socket; every connection is given to `onConnection`. */
async function listen(onConnection: (socket: Socket) => void): Promise<void> {
  const listening = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    onConnection(socket);
  });
  server = listening;
  await new Promise<void>((resolve) => listening.listen(socketPath, resolve));
}

/** A runtime that takes plugins in as a real one does; `onPlugin` is told of each once it is synchronized. */
function listenAsRuntime(onPlugin: (runtime: FakeRuntime, socket: Socket) => void = () => {}): Promise<void> {
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
}

/** Connects; `ended` resolves with why the connection ended. */
function plugin(options: Partial<PluginOptions> = {}): { plugin: Plugin; ended: Promise<NriError> } {
  let resolveEnded: (error: NriError) => void = () => {};
  const ended = new Promise<NriError>((resolve) => {
    resolveEnded = resolve;
  });
  const connected = connectPlugin({
    socketPath,
    onSynchronize() {},
    async onCreateContainer() {},
    onClose: resolveEnded,
    ...options,
  });
  closers.push(connected.close);
  return { plugin: connected, ended };
}

describe('a plugin on the runtime`s socket', () => {
  it('is connected from Synchronize until it closes', async () => {
    const answered = new Promise<FakeRuntime>((resolve) => void listenAsRuntime(resolve));
    await new Promise((resolve) => server?.once('listening', resolve));
    const { plugin: connected } = plugin();
    expect(connected.connected()).toBe(false);
    const runtime = await answered;
    expect([runtime.registered, connected.connected()]).toEqual([['90-pullwarden'], true]);
    expect(await runtime.call('CreateContainer', { pod, container })).toEqual({});
    connected.close();
    expect(connected.connected()).toBe(false);
  });

  it('is not made with a name or an index that no runtime takes', () => {
    for (const options of [
      { name: '' },
      { name: 'a b' },
      { index: '9' },
      { index: '100' },
      { index: 'a1' },
    ]) {
      expect(() => plugin(options)).toThrow(RangeError);
    }
  });

  it('says when nobody listens, and when the runtime goes away or never begins', async () => {
    expect((await plugin().ended).reason).toBe('unreachable');
    await listen((socket) => socket.end());
    expect((await plugin().ended).reason).toBe('closed');
    await stopListening();
    await listen(() => {});
    expect((await plugin({ readyTimeoutMs: 20 }).ended).reason).toBe('registrationTimeout');
  });

  const length = (value: number) => {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32BE(1, 0);
    bytes.writeUInt32BE(value, 4);
    return bytes;
  };
  const framed = (bytes: Uint8Array) => Buffer.concat([length(bytes.length), bytes]);
  const messageHeader = (size: number, streamId: number, type: number) => {
    const bytes = Buffer.alloc(10);
    bytes.writeUInt32BE(size, 0);
    bytes.writeUInt32BE(streamId, 4);
    bytes.writeUInt8(type, 8);
    return framed(bytes);
  };

  it.each([
    ['a frame of 4 MiB and 11 bytes', length(4 * 1024 * 1024 + 11), 'frameTooLarge'],
    ['a length that is nonsense', length(0xffffffff), 'frameTooLarge'],
    ['a message of 4 MiB and one byte', messageHeader(4 * 1024 * 1024 + 1, 1, 1), 'messageTooLarge'],
    ['a connection that does not exist', Buffer.from('0000000700000001ff', 'hex'), 'unknownConnection'],
    ['a request on an even stream', messageHeader(0, 2, 1), 'streamId'],
    ['data on a stream that does not exist', messageHeader(0, 1, 3), 'unexpectedMessage'],
    ['an answer to nothing', messageHeader(0, 1, 2), 'unexpectedMessage'],
    ['text of another protocol', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), 'unknownConnection'],
  ])('ends the connection at %s, by name', async (_what, bytes, reason) => {
    await listen((socket) => socket.write(bytes));
    expect((await plugin().ended).reason).toBe(reason);
  });

  it('says when the connection ends within a frame', async () => {
    await listen((socket) => socket.end(length(100)));
    expect((await plugin().ended).reason).toBe('truncated');
  });

  it('ends a connection on which far more is asked than is answered', async () => {
    await listen((socket) => {
      const mux = createMux({ write: (bytes) => socket.write(bytes), connections: new Map() });
      for (let streamId = 1; streamId < 400; streamId += 2) {
        const request = { service: 'nri.pkg.api.v1alpha1.Plugin', method: 'CreateContainer', timeoutNano: 0 };
        const data = encodeRequest({ ...request, payload: createContainerPayload });
        mux.send(1, encodeMessage({ streamId, type: REQUEST, flags: 0, data }));
      }
    });
    const { ended } = plugin({ onCreateContainer: () => new Promise(() => {}) });
    expect((await ended).reason).toBe('tooManyRequests');
  });

  it('ends a connection whose runtime asks without end and reads no answer', async () => {
    await listen((socket) => {
      socket.pause();
      const mux = createMux({ write: (bytes) => socket.write(bytes), connections: new Map() });
      let streamId = 1;
      const ask = () => {
        for (let count = 0; count < 500; count += 1) {
          const request = {
            service: 'x'.repeat(200),
            method: 'Unknown',
            payload: new Uint8Array(0),
            timeoutNano: 0,
          };
          mux.send(1, encodeMessage({ streamId, type: REQUEST, flags: 0, data: encodeRequest(request) }));
          streamId += 2;
        }
        if (!socket.destroyed) setTimeout(ask, 1);
      };
      ask();
    });
    expect((await plugin().ended).reason).toBe('writeBacklog');
  });
});

describe('a connection that is kept', () => {
  const reconnect = { initialMs: 5, maxMs: 20 };

  it('waits for a socket that appears later, and comes back whenever the runtime does', async () => {
    const away: string[] = [];
    let synchronized = 0;
    let wake: () => void = () => {};
    const next = () =>
      new Promise<void>((resolve) => {
        wake = resolve;
      });
    const missing = next();
    const connection = keepNriConnection({
      socketPath,
      reconnect,
      async onCreateContainer() {},
      onSynchronize() {
        synchronized += 1;
      },
      onConnected: () => wake(),
      onDisconnected(error) {
        away.push(error.reason);
        wake();
      },
    });
    closers.push(connection.close);
    await missing;
    expect([away, connection.connected()]).toEqual([['unreachable'], false]);

    for (const rounds of [1, 2]) {
      const connected = new Promise<void>((resolve) => {
        wake = () => synchronized === rounds && resolve();
      });
      await listenAsRuntime();
      await connected;
      expect(connection.connected()).toBe(true);
      const gone = next();
      await stopListening();
      await gone;
      expect(connection.connected()).toBe(false);
    }
    // Which of the two it is depends on what was in flight when the runtime died.
    expect(away.filter((reason) => reason === 'closed' || reason === 'socket')).toHaveLength(2);
  });

  it('waits longer after each try in vain, but never longer than the most', async () => {
    const delays: number[] = [];
    await new Promise<void>((resolve) => {
      const connection = keepNriConnection({
        socketPath,
        reconnect: { initialMs: 4, maxMs: 16 },
        onSynchronize() {},
        async onCreateContainer() {},
        onDisconnected(_error, retryInMs) {
          delays.push(retryInMs);
          if (delays.length === 5) resolve();
        },
      });
      closers.push(connection.close);
    });
    for (const [at, most] of [4, 8, 16, 16, 16].entries()) {
      expect(delays[at]).toBeGreaterThanOrEqual(most / 2);
      expect(delays[at]).toBeLessThanOrEqual(most);
    }
  });

  it('is patient from the start again once it was connected', async () => {
    const asked: number[] = [];
    let put = 0;
    await listenAsRuntime();
    const connection = keepNriConnection({
      socketPath,
      reconnect,
      async whyNotNow(waitedMs) {
        asked.push(waitedMs);
        put += 1;
        return put === 3 ? undefined : { reason: 'podsTerminating', message: 'waits for 1 pod' };
      },
      onSynchronize() {},
      async onCreateContainer() {},
    });
    closers.push(connection.close);
    await expect.poll(() => connection.connected(), { timeout: 5_000 }).toBe(true);
    expect([asked.length, asked[0]]).toEqual([3, 0]);
    expect(asked[2]).toBeGreaterThan(100);
    await stopListening();
    await expect.poll(() => asked.length, { timeout: 5_000 }).toBe(4);
    expect([asked[3], connection.connected()]).toEqual([0, false]);
  });

  it('stays away once it is closed', async () => {
    let connections = 0;
    await listen((socket) => {
      connections += 1;
      socket.end();
    });
    await new Promise<void>((resolve) => {
      const connection = keepNriConnection({
        socketPath,
        reconnect,
        onSynchronize() {},
        async onCreateContainer() {},
        onDisconnected() {
          connection.close();
          resolve();
        },
      });
    });
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(connections).toBe(1);
  });
});
