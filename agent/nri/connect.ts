import { connect } from 'node:net';
import { NriError } from '../errors.ts';
import { asNriError } from './as-nri-error.ts';
import type { NriPlugin } from './plugin.ts';
import { createSession } from './session.ts';

/** Answers are tens of bytes: this much unread means that nobody reads. */
const MAX_WRITE_BACKLOG_BYTES = 1024 * 1024;
const READY_TIMEOUT_MS = 30_000;
/** A question is some KiB long, and a Unix socket holds 208 KiB by default. */
const READ_BYTES = 256 * 1024;
const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;
const INDEX = /^[0-9]{2}$/;

export type ConnectOptions = {
  /** Path of the runtime's NRI socket, usually /var/run/nri/nri.sock. */
  readonly socketPath: string;
  /** Default `pullwarden`. */
  readonly name?: string;
  /** `00` to `99`: plugins are called in this order; default `90`, late, so that it sees what others did. */
  readonly index?: string;
  /** Milliseconds from here to the answer to Synchronize; default 30 s. */
  readonly readyTimeoutMs?: number;
};

/** `wasConnected`: whether the runtime had asked about new containers. */
export type OnEnd = (error: NriError, wasConnected: boolean) => void;

export type Connection = {
  /** Ends the connection; containers are then created without the plugin. */
  close(): void;
  /** Does the runtime ask about new containers? True from Synchronize on. */
  connected(): boolean;
};

/**
 * Connects a plugin to the runtime once. Whatever the runtime sends, the worst that happens is the end of
 * this connection, passed to `onEnd` with the reason: once, and not after `close()`. It must not throw.
 * @throws RangeError when the name or the index is none that a runtime takes (containerd/nri,
 * pkg/api/plugin.go)
 */
export function connectPlugin(plugin: NriPlugin, options: ConnectOptions, onEnd: OnEnd): Connection {
  const { socketPath, name = 'pullwarden', index = '90', readyTimeoutMs = READY_TIMEOUT_MS } = options;
  if (!NAME.test(name)) throw new RangeError('an NRI plugin is named by letters, digits, ".", "_" and "-"');
  if (!INDEX.test(index)) throw new RangeError('an NRI plugin index has two digits');
  let hasSocket = false;
  let isOver = false;
  const socket = connect({
    path: socketPath,
    onread: { buffer: Buffer.alloc(READ_BYTES), callback: receive },
  });
  const session = createSession({ name, index, plugin, write });
  const readyTimer = setTimeout(() => {
    if (session.synchronized()) return;
    fail(new NriError('registrationTimeout', `no Synchronize within ${readyTimeoutMs} ms`));
  }, readyTimeoutMs);

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

  function write(bytes: Uint8Array): void {
    if (isOver) return;
    socket.write(bytes);
    if (socket.writableLength > MAX_WRITE_BACKLOG_BYTES) {
      fail(new NriError('writeBacklog', `the runtime left ${socket.writableLength} bytes unread`));
    }
  }

  function finish(error: NriError): void {
    isOver = true;
    clearTimeout(readyTimer);
    session.close(error);
    socket.destroy();
  }

  function fail(error: unknown): void {
    if (isOver) return;
    const reason = asNriError(error);
    const wasConnected = session.synchronized();
    finish(reason);
    onEnd(reason, wasConnected);
  }

  socket.on('connect', () => {
    hasSocket = true;
    session.register().catch(fail);
  });
  socket.on('end', () => fail(session.whyEnded()));
  socket.on('close', () => fail(session.whyEnded()));
  socket.on('error', (cause) => {
    const text = 'code' in cause && typeof cause.code === 'string' ? cause.code : 'failed';
    const problem = new NriError(hasSocket ? 'socket' : 'unreachable', `NRI socket: ${text}`, { cause });
    fail(session.causeOfDrop() ?? problem);
  });

  return {
    close() {
      if (!isOver) finish(new NriError('closed', 'the plugin ended the connection'));
    },
    connected: () => !isOver && session.synchronized(),
  };
}
