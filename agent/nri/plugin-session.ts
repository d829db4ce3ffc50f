import { NriError } from '../errors.ts';
import { printable } from '../printable.ts';
import { asNriError } from './as-nri-error.ts';
import {
  CREATE_CONTAINER_MASK,
  decodeConfigure,
  decodeCreateContainer,
  decodeSynchronize,
  EMPTY,
  encodeConfigured,
  encodeRegisterPlugin,
  encodeSynchronized,
  type NriConfiguration,
  type NriContainer,
  type NriPod,
  pluginService,
  runtimeService,
} from './messages.ts';
import { createMux } from './mux.ts';
import { createTtrpcClient } from './ttrpc-client.ts';
import { code, TtrpcStatus } from './ttrpc-envelope.ts';
import { type Call, createTtrpcServer, type UnaryHandler } from './ttrpc-server.ts';

/** Which logical connection carries what (containerd/nri, pkg/net/multiplex): named after who serves there. */
const PLUGIN_CONNECTION = 1;
const RUNTIME_CONNECTION = 2;
/** The runtime's own default for how long a plugin may take to register. */
const REGISTER_TIMEOUT_MS = 5_000;
/** The runtime's own default, for runtimes that do not tell theirs and calls that carry none. */
const DEFAULT_REQUEST_TIMEOUT_MS = 2_000;
/** Of all parts of one Synchronize: a node of 500 pods stays below a hundredth of the objects. */
const MAX_OBJECTS = 50_000;
const MAX_SYNCHRONIZE_BYTES = 64 * 1024 * 1024;
/** Of a refusal, in characters: kubelet repeats it in events and in the pod's status. */
const MAX_REFUSAL = 1_024;

export type CreateContainerCall = {
  /** When the runtime drops the plugin, in ms of `performance.now()`: answer before. */
  readonly deadlineMs: number;
  /** Aborts at the deadline and when the connection ends: nobody waits for the answer any more. */
  readonly signal: AbortSignal;
};

export type PluginCallbacks = {
  /** The runtime tells who it is and how fast it wants answers. */
  readonly onConfigure?: (configuration: NriConfiguration) => void;
  /** Everything that exists, once a connection; from now on every new container is asked about. Must not throw. */
  readonly onSynchronize: (pods: readonly NriPod[], containers: readonly NriContainer[]) => void;
  /**
   * A container is about to be created. Return or resolve to let it be, throw or reject to refuse it: kubelet shows
   * the error's message (cut at 1,024 characters, on one line) as CreateContainerError and tries again. Not answered by
   * the deadline, the runtime drops the plugin and creates the container.
   */
  readonly onCreateContainer: (
    pod: NriPod,
    container: NriContainer,
    call: CreateContainerCall,
  ) => Promise<void> | undefined;
};

export type PluginSessionOptions = PluginCallbacks & {
  readonly name: string;
  /** Two digits; the runtime calls its plugins in this order. */
  readonly index: string;
  /** Writes to the socket; must not throw. */
  readonly write: (bytes: Uint8Array) => void;
};

export type PluginSession = {
  /** Registers with the runtime. @throws NriError `registrationRefused`, `registrationTimeout`, or why it ended */
  register(): Promise<void>;
  /** @throws NriError the connection is over */
  receive(bytes: Uint8Array): void;
  /** The socket ended in order. @returns `closed`, `shutdown` or `truncated` */
  end(): NriError;
  /** Stops everything; nothing is written any more. */
  close(error: NriError): void;
  /** Has Synchronize been answered? Only then does the runtime ask about new containers. */
  synchronized(): boolean;
};

/** What a plugin says and hears on one connection to the runtime, on plain bytes. */
export function createPluginSession(options: PluginSessionOptions): PluginSession {
  const { name, index, write, onConfigure, onSynchronize, onCreateContainer } = options;
  let requestTimeoutMs = DEFAULT_REQUEST_TIMEOUT_MS;
  let pods: NriPod[] = [];
  let containers: NriContainer[] = [];
  let synchronizeBytes = 0;
  let isSynchronized = false;
  let isShutDown = false;

  function configure(payload: Uint8Array): Uint8Array {
    const configuration = decodeConfigure(payload);
    if (configuration.requestTimeoutMs > 0) requestTimeoutMs = configuration.requestTimeoutMs;
    onConfigure?.(configuration);
    return encodeConfigured(CREATE_CONTAINER_MASK);
  }

  function synchronize(payload: Uint8Array): Uint8Array {
    synchronizeBytes += payload.length;
    if (synchronizeBytes > MAX_SYNCHRONIZE_BYTES) {
      throw new NriError('tooMuchState', `Synchronize is longer than ${MAX_SYNCHRONIZE_BYTES} bytes`);
    }
    const part = decodeSynchronize(payload, MAX_OBJECTS - pods.length - containers.length);
    pods = pods.concat(part.pods);
    containers = containers.concat(part.containers);
    if (part.more) return encodeSynchronized(true);
    const everything = { pods, containers };
    pods = [];
    containers = [];
    synchronizeBytes = 0;
    isSynchronized = true;
    onSynchronize(everything.pods, everything.containers);
    return encodeSynchronized(false);
  }

  function createContainer(payload: Uint8Array, call: Call): Uint8Array | Promise<Uint8Array> {
    const { pod, container } = decodeCreateContainer(payload);
    const deadlineMs = call.deadlineMs ?? performance.now() + requestTimeoutMs;
    const about: CreateContainerCall = {
      deadlineMs,
      get signal() {
        return call.signal;
      },
    };
    try {
      return onCreateContainer(pod, container, about)?.then(allow, refuse) ?? EMPTY;
    } catch (error) {
      return refuse(error);
    }
  }

  function shutDown(): Uint8Array {
    isShutDown = true;
    return EMPTY;
  }

  const methods = new Map<string, UnaryHandler>([
    ['Configure', configure],
    ['Synchronize', synchronize],
    ['CreateContainer', createContainer],
    ['Shutdown', shutDown],
  ]);
  const server = createTtrpcServer({
    services: new Map([[pluginService, methods]]),
    write: (bytes) => mux.send(PLUGIN_CONNECTION, bytes),
  });
  const client = createTtrpcClient((bytes) => mux.send(RUNTIME_CONNECTION, bytes));
  const mux = createMux({
    write,
    connections: new Map([
      [PLUGIN_CONNECTION, server.receive],
      [RUNTIME_CONNECTION, client.receive],
    ]),
  });

  return {
    async register() {
      const payload = encodeRegisterPlugin(name, index);
      try {
        await client.call(runtimeService, 'RegisterPlugin', payload, REGISTER_TIMEOUT_MS);
      } catch (error) {
        throw registrationError(error);
      }
    },
    receive: (bytes) => mux.receive(bytes),
    end() {
      try {
        mux.end();
        server.end();
        client.end();
      } catch (error) {
        return asNriError(error);
      }
      return isShutDown
        ? new NriError('shutdown', 'the runtime shut its plugins down')
        : new NriError('closed', 'the runtime ended the connection');
    },
    close(error) {
      isSynchronized = false;
      pods = [];
      containers = [];
      server.close();
      client.close(error);
    },
    synchronized: () => isSynchronized,
  };
}

function allow(): Uint8Array {
  return EMPTY;
}

function refuse(error: unknown): never {
  const refusal = error instanceof Error && error.message !== '' ? error.message : 'refused';
  // Always Unknown: kubelet shows the code, and other codes mean other things to the runtime. Half of a character,
  // which the cut may leave, would be no UTF-8.
  const text = printable(refusal, MAX_REFUSAL).toWellFormed();
  throw new TtrpcStatus(code.unknown, text, { cause: error });
}

function registrationError(error: unknown): NriError {
  if (error instanceof TtrpcStatus) {
    const text = `the runtime refuses the plugin: ${printable(error.message, MAX_REFUSAL)}`;
    return new NriError('registrationRefused', text, { cause: error });
  }
  if (error instanceof NriError && error.reason === 'deadline') {
    return new NriError('registrationTimeout', error.message, { cause: error });
  }
  return asNriError(error);
}
