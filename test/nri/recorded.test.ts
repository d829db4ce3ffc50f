import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import {
  decodeConfigure,
  decodeContainer,
  decodeCreateContainer,
  decodeSynchronize,
} from '../../agent/nri/messages.ts';
import { createMux } from '../../agent/nri/mux.ts';
import { createSession } from '../../agent/nri/session.ts';
import {
  decodeRequest,
  decodeResponse,
  encodeError,
  encodeResponse,
  TtrpcStatus,
} from '../../agent/nri/ttrpc-envelope.ts';
import {
  createMessageReader,
  encodeMessage,
  REQUEST,
  type TtrpcMessage,
} from '../../agent/nri/ttrpc-message.ts';
import {
  completeType,
  envelopeType,
  type RecordedFrame,
  recordedSession,
  recordedVersions,
} from './fake-runtime.ts';

/** The streams of one session: what each side said on each logical connection, in order. */
function streams(session: readonly RecordedFrame[]): Buffer[] {
  const byName = new Map<string, Buffer[]>();
  for (const { connection, from, frame } of session) {
    const name = `${connection} ${from} ${frame.readUInt32BE(0)}`;
    byName.set(name, [...(byName.get(name) ?? []), frame.subarray(8)]);
  }
  return [...byName.values()].map((frames) => Buffer.concat(frames));
}

function messagesOf(session: readonly RecordedFrame[]): TtrpcMessage[] {
  const messages: TtrpcMessage[] = [];
  for (const stream of streams(session)) {
    const { receive, end } = createMessageReader((message) => messages.push(message));
    receive(stream);
    end();
  }
  return messages;
}

function requestsOf(session: readonly RecordedFrame[]) {
  return messagesOf(session)
    .filter(({ type }) => type === REQUEST)
    .map(({ data }) => decodeRequest(data));
}

function encodedAgain(data: Uint8Array): Uint8Array {
  try {
    return encodeResponse(decodeResponse(data));
  } catch (error) {
    if (!(error instanceof TtrpcStatus)) throw error;
    return encodeError(error);
  }
}

function payloadsOf(session: readonly RecordedFrame[], method: string): Uint8Array[] {
  return requestsOf(session)
    .filter((request) => request.method === method)
    .map(({ payload }) => payload);
}

describe.each(recordedVersions)('a session recorded from containerd %s', (version) => {
  const session = recordedSession(version);

  it('is decoded and encoded again to the same bytes as frames', () => {
    for (const { frame } of session) {
      const written: Uint8Array[] = [];
      const length = frame.readUInt32BE(4);
      const out = createMux({
        write: (bytes) => written.push(bytes),
        connections: new Map(),
        writeFrameBytes: length,
      });
      const id = frame.readUInt32BE(0);
      const received: Uint8Array[] = [];
      const sink = (bytes: Uint8Array) => received.push(bytes);
      const mux = createMux({ write() {}, connections: new Map([[id, sink]]) });
      mux.receive(frame);
      mux.end();
      out.send(id, Buffer.concat(received));
      expect(Buffer.concat(written).equals(frame)).toBe(true);
    }
  });

  it('as ttrpc messages', () => {
    for (const stream of streams(session)) {
      const again: Uint8Array[] = [];
      const { receive, end } = createMessageReader((message) => again.push(encodeMessage(message)));
      receive(stream);
      end();
      expect(Buffer.concat(again).equals(stream)).toBe(true);
    }
  });

  it('as requests and responses, with the metadata that the agent has no use for', () => {
    const messages = messagesOf(session);
    expect(messages.length).toBeGreaterThan(16);
    const metadata: unknown[] = [];
    for (const { type, data } of messages) {
      const envelope = envelopeType(type === REQUEST ? 'Request' : 'Response');
      const decoded = envelope.decode(data);
      metadata.push(...(decoded.toJSON().metadata ?? []));
      expect(Buffer.from(envelope.encode(decoded).finish()).equals(data)).toBe(true);
    }
    expect(metadata).toContainEqual({ key: 'containerd-namespace-ttrpc', value: 'k8s.io' });
  });

  it('as responses by the agent`s own encoder', () => {
    for (const { type, data } of messagesOf(session)) {
      if (type !== REQUEST) expect(Buffer.from(encodedAgain(data)).equals(data)).toBe(true);
    }
  });

  it('as whole NRI messages', () => {
    for (const { method, payload } of requestsOf(session)) {
      const type = completeType(`${method}Request`);
      const again = type.encode(type.decode(payload)).finish();
      expect(Buffer.from(again).equals(payload)).toBe(true);
    }
  });

  it('tells the agent what it needs to know', () => {
    const [configuration] = payloadsOf(session, 'Configure').map(decodeConfigure);
    expect(configuration?.runtimeName).toBe('containerd');
    expect(configuration?.runtimeVersion.startsWith(version)).toBe(true);
    const created = payloadsOf(session, 'CreateContainer').map((payload) => {
      const { pod, container } = decodeCreateContainer(payload);
      return decodeContainer(pod, container);
    });
    expect(
      created.map(({ pod, containerName }) => [pod.namespace, pod.name, pod.uid, containerName]),
    ).toEqual([
      ['team-a', 'allowed', 'uid-allowed', 'main'],
      ['team-a', 'refused', 'uid-refused', 'main'],
      ['team-a', 'long', 'uid-long', 'main'],
      ['team-a', 'later', 'uid-later', 'main'],
    ]);
    for (const { podSandboxId, image } of created) {
      expect(podSandboxId).toMatch(/^[0-9a-f]{64}$/);
      expect(image).toMatch(/^127\.0\.0\.1:\d+\/team-a\/app:v1$/);
    }
    expect(payloadsOf(session, 'Synchronize').map(decodeSynchronize)).toEqual([
      { more: false },
      { more: false },
    ]);
  });

  it.each([1, 2])('is answered by the plugin as it was then, connection %i', async (connection) => {
    const written: Uint8Array[] = [];
    const agent = createSession({
      name: 'pullwarden',
      index: '90',
      plugin: {
        async createContainer({ pod }) {
          if (pod.name === 'refused') throw new Error('pullwarden: registryRefused');
        },
      },
      write: (bytes) => written.push(bytes),
    });
    const frames = session.filter((recorded) => recorded.connection === connection);
    const registered = agent.register();
    for (const { frame } of frames.filter(({ from }) => from === 'runtime')) {
      agent.receive(frame);
      await turn();
    }
    await registered;
    const expected = frames.filter(({ from }) => from === 'plugin').map(({ frame }) => frame.toString('hex'));
    expect(written.map((bytes) => Buffer.from(bytes).toString('hex'))).toEqual(expected);
  });
});
