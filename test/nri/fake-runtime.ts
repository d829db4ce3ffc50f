import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import protobuf from 'protobufjs';
import { NriError } from '../../agent/errors.ts';
import { createMux } from '../../agent/nri/mux.ts';
import { createTtrpcClient } from '../../agent/nri/ttrpc-client.ts';
import { createTtrpcServer, type UnaryHandler } from '../../agent/nri/ttrpc-server.ts';

const root = new protobuf.Root().loadSync(
  ['nri-complete.proto', 'ttrpc-complete.proto'].map((name) => join(import.meta.dirname, name)),
);

/** A message type of the whole NRI. */
export function completeType(name: string): protobuf.Type {
  return root.lookupType(`nri.pkg.api.v1alpha1.${name}`);
}

/** A message of the whole NRI; fields as protobufjs names them. */
export function message(name: string, fields: object): Uint8Array {
  const type = completeType(name);
  return type.encode(type.fromObject(fields)).finish();
}

/** A message type of the whole ttrpc envelope. */
export function envelopeType(name: 'Request' | 'Response'): protobuf.Type {
  return root.lookupType(`ttrpc.${name}`);
}

export type FakeRuntime = {
  receive(bytes: Uint8Array): void;
  /** Calls the plugin; resolves with the answer's payload as an object. */
  call(method: string, request: object, timeoutMs?: number): Promise<Record<string, unknown>>;
  /** The same with a payload as it is; resolves with the answer's. */
  send(method: string, payload: Uint8Array, timeoutMs?: number): Promise<Uint8Array>;
  /** Plugins that registered, as `index-name`. */
  readonly registered: string[];
  end(): void;
};

const requests: Readonly<Record<string, [string, string]>> = {
  Configure: ['ConfigureRequest', 'ConfigureResponse'],
  Synchronize: ['SynchronizeRequest', 'SynchronizeResponse'],
  CreateContainer: ['CreateContainerRequest', 'CreateContainerResponse'],
  StartContainer: ['CreateContainerRequest', 'CreateContainerResponse'],
  Shutdown: ['Empty', 'Empty'],
};

/** The runtime's end of one NRI connection, on plain bytes. */
export function fakeRuntime(
  write: (bytes: Uint8Array) => void,
  onRegister: UnaryHandler = () => new Uint8Array(0),
): FakeRuntime {
  const registered: string[] = [];
  const client = createTtrpcClient((bytes) => mux.send(1, bytes));
  const register: UnaryHandler = (payload, call) => {
    const { pluginName, pluginIdx } = completeType('RegisterPluginRequest').decode(payload).toJSON();
    registered.push(`${pluginIdx}-${pluginName}`);
    return onRegister(payload, call);
  };
  const server = createTtrpcServer({
    services: new Map([['nri.pkg.api.v1alpha1.Runtime', new Map([['RegisterPlugin', register]])]]),
    write: (bytes) => mux.send(2, bytes),
  });
  const mux = createMux({
    write,
    connections: new Map([
      [1, client.receive],
      [2, server.receive],
    ]),
  });
  const send = (method: string, payload: Uint8Array, timeoutMs = 2_000) =>
    client.call('nri.pkg.api.v1alpha1.Plugin', method, payload, timeoutMs);
  return {
    receive: mux.receive,
    send,
    async call(method, request, timeoutMs) {
      const [requestName, responseName] = requests[method] ?? ['Empty', 'Empty'];
      const answer = await send(method, message(requestName, request), timeoutMs);
      return completeType(responseName).decode(answer).toJSON();
    },
    registered,
    end() {
      server.close();
      client.close(new NriError('closed', 'the runtime ended'));
    },
  };
}

export type RecordedFrame = { readonly connection: number; readonly from: string; readonly frame: Buffer };

/** The frames of a session with a real containerd, as scripts/lab/capture-nri.ts wrote them. */
export function recordedSession(version: string): readonly RecordedFrame[] {
  const file = join(import.meta.dirname, `../captures/nri-session-${version}.jsonl`);
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  return lines.map((line) => {
    const { frame, ...rest }: { connection: number; from: string; frame: string } = JSON.parse(line);
    return { ...rest, frame: Buffer.from(frame, 'base64') };
  });
}

export const recordedVersions = ['1.7.24', '2.1.9'] as const;

/** Why `step` threw; undefined when it did not, or threw something else than an NriError. */
export function failureOf(step: () => unknown): string | undefined {
  try {
    step();
  } catch (error) {
    if (error instanceof NriError) return error.reason;
    throw error;
  }
  return undefined;
}
