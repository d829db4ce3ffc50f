import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NriError } from '../../agent/errors.ts';
import { type Connection, type ConnectOptions, connectPlugin } from '../../agent/nri/connect.ts';
import { createMux } from '../../agent/nri/mux.ts';
import type { NriPlugin } from '../../agent/nri/plugin.ts';
import { encodeRequest } from '../../agent/nri/ttrpc-envelope.ts';
import { encodeMessage, REQUEST } from '../../agent/nri/ttrpc-message.ts';
import { type FakeRuntime, fakeRuntime, message } from './fake-runtime.ts';
import { openRuntimeSocket, type RuntimeSocket } from './runtime-socket.ts';

const pod = { id: 'sandbox-1', name: 'web', uid: 'uid-1', namespace: 'team-a' };
const container = { id: 'container-1', podSandboxId: 'sandbox-1', name: 'main' };

const createContainerPayload = message('CreateContainerRequest', { pod, container });

let runtimeSocket: RuntimeSocket;
const closers: (() => void)[] = [];

beforeEach(async () => {
  runtimeSocket = await openRuntimeSocket();
});

afterEach(async () => {
  for (const close of closers.splice(0)) close();
  await runtimeSocket.close();
});

/** Connects; `ended` resolves with why the connection ended. */
function plugin(
  events: Partial<NriPlugin> = {},
  options: Partial<ConnectOptions> = {},
): { connection: Connection; ended: Promise<NriError> } {
  const ended = Promise.withResolvers<NriError>();
  const allowing: NriPlugin = { createContainer: () => undefined, ...events };
  const connection = connectPlugin(allowing, { socketPath: runtimeSocket.path, ...options }, ended.resolve);
  closers.push(connection.close);
  return { connection, ended: ended.promise };
}

describe('a plugin on the runtime`s socket', () => {
  it('is connected from Synchronize until it closes', async () => {
    const answered = Promise.withResolvers<FakeRuntime>();
    await runtimeSocket.listenAsRuntime(answered.resolve);
    const { connection: connected } = plugin();
    expect(connected.connected()).toBe(false);
    const runtime = await answered.promise;
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
      expect(() => plugin({}, options)).toThrow(RangeError);
    }
  });

  it('says when nobody listens, and when the runtime goes away or never begins', async () => {
    expect((await plugin().ended).reason).toBe('unreachable');
    await runtimeSocket.listen((socket) => socket.end());
    expect((await plugin().ended).reason).toBe('closed');
    await runtimeSocket.stopListening();
    await runtimeSocket.listen(() => {});
    expect((await plugin({}, { readyTimeoutMs: 20 }).ended).reason).toBe('registrationTimeout');
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
    await runtimeSocket.listen((socket) => socket.write(bytes));
    expect((await plugin().ended).reason).toBe(reason);
  });

  it('says when the connection ends within a frame', async () => {
    await runtimeSocket.listen((socket) => socket.end(length(100)));
    expect((await plugin().ended).reason).toBe('truncated');
  });

  it('ends a connection on which far more is asked than is answered', async () => {
    await runtimeSocket.listen((socket) => {
      const mux = createMux({ write: (bytes) => socket.write(bytes), connections: new Map() });
      for (let streamId = 1; streamId < 400; streamId += 2) {
        const request = { service: 'nri.pkg.api.v1alpha1.Plugin', method: 'CreateContainer', timeoutNano: 0 };
        const data = encodeRequest({ ...request, payload: createContainerPayload });
        mux.send(1, encodeMessage({ streamId, type: REQUEST, flags: 0, data }));
      }
    });
    const { ended } = plugin({ createContainer: () => new Promise(() => {}) });
    expect((await ended).reason).toBe('tooManyRequests');
  });

  it('ends a connection whose runtime asks without end and reads no answer', async () => {
    await runtimeSocket.listen((socket) => {
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

  it('names its own fault when the runtime drops it: what it could not read, or did not answer in time', async () => {
    await runtimeSocket.listen((socket) => {
      const runtime = fakeRuntime(
        (bytes) => socket.write(bytes),
        () => {
          void runtime.send('Synchronize', Buffer.from([0xff])).catch(() => socket.end());
          return new Uint8Array(0);
        },
      );
      socket.on('data', runtime.receive);
    });
    expect(await plugin().ended).toMatchObject({
      reason: 'malformed',
      message: 'Synchronize was answered with an error: these bytes are no SynchronizeRequest',
    });
    await runtimeSocket.stopListening();
    await runtimeSocket.listenAsRuntime((runtime, socket) => {
      runtime.call('CreateContainer', { pod, container }, 20).catch(() => socket.destroy());
    });
    const { ended } = plugin({ createContainer: () => new Promise(() => {}) });
    expect(await ended).toMatchObject({
      reason: 'deadline',
      message: 'CreateContainer was not answered in time',
    });
  });

  it('tells whether the runtime had asked about containers when the connection ended', async () => {
    const ends: boolean[] = [];
    const connect = () =>
      new Promise<void>((resolve) => {
        const onEnd = (_error: NriError, wasConnected: boolean) => {
          ends.push(wasConnected);
          resolve();
        };
        connectPlugin({ createContainer: () => undefined }, { socketPath: runtimeSocket.path }, onEnd);
      });
    await connect();
    await runtimeSocket.listenAsRuntime((_runtime, socket) => socket.end());
    await connect();
    expect(ends).toEqual([false, true]);
  });
});
