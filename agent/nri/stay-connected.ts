import type { NriError } from '../errors.ts';
import { createRetryDelay, type RetryDelays } from '../retry-delay.ts';
import { type Connection, type ConnectOptions, connectPlugin } from './connect.ts';
import { prepareDecoders } from './messages.ts';
import type { NriPlugin } from './plugin.ts';

/** A connection that lived this long (ms) was a good one: the next try after it comes soon. */
const GOOD_LIFE_MS = 1_000;
const defaultReconnect: RetryDelays = { initialMs: 200, maxMs: 5_000 };
/** Between one question whether to try and the next. */
const LOOK_AGAIN: RetryDelays = { initialMs: 250, maxMs: 1_000 };

export type StayConnectedOptions = ConnectOptions & {
  /**
   * Asked before every try, and again about every second for as long as the answer is no. An answer that does
   * not come is waited for. `waitedMs`: since a try was first put off; from 0 again after each connection.
   */
  readonly mayRegister?: (waitedMs: number) => Promise<boolean>;
  /**
   * The connection ended or could not be made. The next try comes in `retryInMs` at the earliest; until then
   * containers are created without the plugin. Must not throw.
   */
  readonly onDisconnected?: (error: NriError, retryInMs: number) => void;
  /** Milliseconds, doubling, each made 50 to 100 % of it by chance; default 200 to 5,000. */
  readonly reconnect?: RetryDelays;
};

/**
 * Keeps a plugin connected to the runtime's NRI socket: when the runtime restarts, when it drops the plugin,
 * and when the socket only appears later.
 */
export function stayConnected(plugin: NriPlugin, options: StayConnectedOptions): Connection {
  const { mayRegister, onDisconnected, reconnect = defaultReconnect } = options;
  const delay = createRetryDelay(reconnect);
  const lookAgain = createRetryDelay(LOOK_AGAIN);
  let connection: Connection | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  let waitsSince: number | undefined;

  async function openOrWait(): Promise<void> {
    const waitedMs = waitsSince === undefined ? 0 : performance.now() - waitsSince;
    const mayOpen = (await mayRegister?.(waitedMs)) ?? true;
    if (isClosed) return;
    if (mayOpen) return open();
    waitsSince ??= performance.now();
    timer = setTimeout(openOrWait, lookAgain.next());
  }

  function open(): void {
    const openedAt = performance.now();
    lookAgain.reset();
    connection = connectPlugin(plugin, options, (error, wasConnected) => {
      if (wasConnected) waitsSince = undefined;
      if (wasConnected && performance.now() - openedAt >= GOOD_LIFE_MS) delay.reset();
      const retryInMs = delay.next();
      timer = setTimeout(openOrWait, retryInMs);
      onDisconnected?.(error, retryInMs);
    });
  }

  prepareDecoders();
  void openOrWait();
  return {
    connected: () => !isClosed && connection?.connected() === true,
    close() {
      isClosed = true;
      clearTimeout(timer);
      connection?.close();
    },
  };
}
