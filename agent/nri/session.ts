import { NriError } from '../errors.ts';
import { printable } from '../printable.ts';
import { asNriError } from './as-nri-error.ts';
import {
  CREATE_CONTAINER_MASK,
  decodeConfigure,
  decodeContainer,
  decodeCreateContainer,
  decodeSynchronize,
  EMPTY,
  encodeConfigured,
  encodeRegisterPlugin,
  encodeSynchronized,
  pluginService,
  runtimeService,
} from './messages.ts';
import { createMux } from './mux.ts';
import type { NriPlugin } from './plugin.ts';
import { createTtrpcClient } from './ttrpc-client.ts';
import { code, TtrpcStatus } from './ttrpc-envelope.ts';
import { createTtrpcServer, type UnaryHandler } from './ttrpc-server.ts';

/**
 * Which logical connection carries what (containerd/nri, pkg/net/multiplex): named after who serves there.
 */
const PLUGIN_CONNECTION = 1;
const RUNTIME_CONNECTION = 2;
/** The runtime's own default for how long a plugin may take to register. */
const REGISTER_TIMEOUT_MS = 5_000;
/** The runtime's own default, for runtimes that do not tell theirs and calls that carry none. */
const DEFAULT_REQUEST_TIMEOUT_MS = 2_000;
/** Of a refusal, in characters: kubelet repeats it in events and in the pod's status. */
const MAX_REFUSAL = 1_024;

export type SessionOptions = {
  readonly name: string;
  /** Two digits; the runtime calls its plugins in this order. */
  readonly index: string;
  readonly plugin: NriPlugin;
  /** Writes to the socket; must not throw. */
  readonly write: (bytes: Uint8Array) => void;
};

export type Session = {
  /**
   * Registers with the runtime. @throws NriError `registrationRefused`, `registrationTimeout`, or why it
   * ended
   */
  register(): Promise<void>;
  /** @throws NriError the connection is over */
  receive(bytes: Uint8Array): void;
  /** Why the runtime ended the connection: what is known of it, else `shutdown`, `truncated` or `closed`. */
  whyEnded(): NriError;
  /** What a runtime drops a plugin for without saying so; undefined where there is nothing of the kind. */
  causeOfDrop(): NriError | undefined;
  /** Stops everything; nothing is written any more. */
  close(error: NriError): void;
  /** Has Synchronize been answered to its end? Only then does the runtime ask about new containers. */
  synchronized(): boolean;
};

/** What a plugin says and hears on one connection to the runtime, on plain bytes. */
export function createSession({ name, index, plugin, write }: SessionOptions): Session {
  let requestTimeoutMs = DEFAULT_REQUEST_TIMEOUT_MS;
  let isSynchronized = false;
  let isShutDown = false;
  let fault: NriError | undefined;
  let isConfigured = false;
  let synchronizeBytes = 0;

  function configure(payload: Uint8Array): Uint8Array {
    const configuration = decodeConfigure(payload);
    if (configuration.requestTimeoutMs > 0) requestTimeoutMs = configuration.requestTimeoutMs;
    isConfigured = true;
    plugin.configure?.(configuration);
    return encodeConfigured(CREATE_CONTAINER_MASK);
  }

  /** Each part is answered and forgotten, so that no number or size of containers is too much. */
  function synchronize(payload: Uint8Array): Uint8Array {
    const { more } = decodeSynchronize(payload);
    synchronizeBytes += payload.length;
    if (!more) {
      isSynchronized = true;
      plugin.synchronize?.();
    }
    return encodeSynchronized(more);
  }

  function createContainer(payload: Uint8Array, callDeadlineMs?: number): Uint8Array | Promise<Uint8Array> {
    const { pod, container } = decodeCreateContainer(payload);
    if (plugin.isAsked?.(pod) === false) return EMPTY;
    const request = decodeContainer(pod, container);
    const deadlineMs = callDeadlineMs ?? performance.now() + requestTimeoutMs;
    try {
      return plugin.createContainer(request, deadlineMs)?.then(allow, refuse) ?? EMPTY;
    } catch (error) {
      return refuse(error);
    }
  }

  function shutDown(): Uint8Array {
    isShutDown = true;
    return EMPTY;
  }

  /** The runtime drops a plugin that answers this call with an error, and says nothing of why. */
  function orDropped(method: string, handler: UnaryHandler): UnaryHandler {
    return (payload, deadlineMs) => {
      try {
        return handler(payload, deadlineMs);
      } catch (error) {
        const { reason, message } = asNriError(error);
        fault = new NriError(reason, `${method} was answered with an error: ${message}`, { cause: error });
        throw error;
      }
    };
  }

  function causeOfDrop(): NriError | undefined {
    if (fault !== undefined) return fault;
    // Its first question after Configure, and containerd has several reasons not to get to the end of it.
    if (isConfigured && !isSynchronized && !isShutDown) {
      const text =
        `the runtime took the plugin in, but gave up telling it what exists after ${synchronizeBytes} bytes: it has ` +
        `${requestTimeoutMs} ms for all of it, and no room for many containers of more than 1 MiB of environment each`;
      return new NriError('synchronizeUnfinished', text);
    }
    const late = server.overdue();
    return late === undefined ? undefined : new NriError('deadline', `${late} was not answered in time`);
  }

  const methods = new Map<string, UnaryHandler>([
    ['Configure', orDropped('Configure', configure)],
    ['Synchronize', orDropped('Synchronize', synchronize)],
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
    whyEnded() {
      const cause = causeOfDrop();
      if (cause !== undefined) return cause;
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
    causeOfDrop,
    close(error) {
      isSynchronized = false;
      server.close();
      client.close(error);
    },
    synchronized: () => isSynchronized,
  };
}

function allow(): Uint8Array {
  return EMPTY;
}

/** @throws TtrpcStatus */
function refuse(error: unknown): never {
  const refusal = error instanceof Error && error.message !== '' ? error.message : 'refused';
  // Always Unknown: kubelet shows the code, and other codes mean other things to the runtime. Half of a
  // character, which the cut may leave, would be no UTF-8.
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
