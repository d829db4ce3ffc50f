import { connect } from 'node:net';
import { NriError } from '../errors.ts';
import { asNriError } from './as-nri-error.ts';
import { prepareDecoders } from './messages.ts';
import { createPluginSession, type PluginCallbacks } from './plugin-session.ts';

/** Answers are tens of bytes: this much unread means that nobody reads. */
const MAX_WRITE_BACKLOG_BYTES = 1024 * 1024;
const READY_TIMEOUT_MS = 30_000;
/** A question is some KiB long. */
const READ_BYTES = 64 * 1024;
const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;
const INDEX = /^[0-9]{2}$/;

export type PluginOptions = PluginCallbacks & {
  /** Path of the runtime's NRI socket, usually /var/run/nri/nri.sock. */
  readonly socketPath: string;
  /** Default `pullwarden`. */
  readonly name?: string;
  /** `00` to `99`: plugins are called in this order; default `90`, late, so that it sees what others did. */
  readonly index?: string;
  /** Milliseconds from here to the answer to Synchronize; default 30 s. */
  readonly readyTimeoutMs?: number;
  /** The connection ended, or could not be made; called once, and not after `close()`. Must not throw. */
  readonly onClose: (error: NriError) => void;
};

export type Plugin = {
  /** Ends the connection; containers are then created without the plugin. */
  close(): void;
  /** Is the runtime asking about new containers? True from Synchronize on. */
  connected(): boolean;
};

/**
 * Connects to the runtime as an NRI plugin that is asked about every new container. Whatever the runtime sends, the
 * worst that happens is the end of this connection, told to `onClose`.
 * @throws RangeError when the name or the index is none that a runtime takes (containerd/nri, pkg/api/plugin.go)
 */
export function connectPlugin(options: PluginOptions): Plugin {
  const {
    socketPath,
    name = 'pullwarden',
    index = '90',
    readyTimeoutMs = READY_TIMEOUT_MS,
    onClose,
  } = options;
  if (!NAME.test(name)) throw new RangeError('an NRI plugin is named by letters, digits, ".", "_" and "-"');
  if (!INDEX.test(index)) throw new RangeError('an NRI plugin index has two digits');
  prepareDecoders();
  let isConnected = false;
  let isOver = false;
  const socket = connect({
    path: socketPath,
    onread: { buffer: Buffer.alloc(READ_BYTES), callback: receive },
  });

  /** The buffer is used again for what comes next: nothing of it is kept. */
  function receive(length: number, buffer: Uint8Array): boolean {
    if (isOver) return false;
    try {
      session.receive(buffer.subarray(0, length));
    } catch (error) {
      fail(error);
    }
    return !isOver;
  }

  function finish(error: NriError): void {
    if (isOver) return;
    isOver = true;
    clearTimeout(readyTimer);
    session.close(error);
    socket.destroy();
  }

  function fail(error: unknown): void {
    if (isOver) return;
    const reason = asNriError(error);
    finish(reason);
    onClose(reason);
  }

  const session = createPluginSession({
    ...options,
    name,
    index,
    write(bytes) {
      if (isOver) return;
      socket.write(bytes);
      if (socket.writableLength > MAX_WRITE_BACKLOG_BYTES) {
        fail(new NriError('writeBacklog', `the runtime left ${socket.writableLength} bytes unread`));
      }
    },
    onSynchronize(pods, containers) {
      clearTimeout(readyTimer);
      options.onSynchronize(pods, containers);
    },
  });
  const readyTimer = setTimeout(() => {
    fail(new NriError('registrationTimeout', `no Synchronize within ${readyTimeoutMs} ms`));
  }, readyTimeoutMs);

  socket.on('connect', () => {
    isConnected = true;
    session.register().catch(fail);
  });
  socket.on('end', () => fail(session.end()));
  socket.on('close', () => fail(session.end()));
  socket.on('error', (cause) => {
    const text = 'code' in cause && typeof cause.code === 'string' ? cause.code : 'failed';
    fail(new NriError(isConnected ? 'socket' : 'unreachable', `NRI socket: ${text}`, { cause }));
  });

  return {
    close: () => finish(new NriError('closed', 'the plugin ended the connection')),
    connected: () => !isOver && session.synchronized(),
  };
}
