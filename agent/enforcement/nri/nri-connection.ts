import { createRetryDelay, type RetryDelays } from '../../retry-delay.ts';
import type { NriError } from './error.ts';
import { connectPlugin, type Plugin, type PluginOptions } from './plugin.ts';

/** A connection that lived this long (ms) was a good one: the next try after it comes soon. */
const GOOD_LIFE_MS = 1_000;
const defaultReconnect: RetryDelays = { initialMs: 200, maxMs: 5_000 };

export type NriConnectionOptions = Omit<PluginOptions, 'onClose'> & {
  /** The runtime asks about new containers from now on; called after `onSynchronize`. */
  readonly onConnected?: () => void;
  /**
   * It does not, or not any more; the next try comes in `retryInMs`. Called for every try that fails. Containers are
   * created without the plugin meanwhile.
   */
  readonly onDisconnected?: (error: NriError, retryInMs: number) => void;
  /** Milliseconds, doubling, each made 50 to 100 % of it by chance; default 200 to 5,000. */
  readonly reconnect?: RetryDelays;
};

export type NriConnection = {
  connected(): boolean;
  close(): void;
};

/**
 * Stays connected to the runtime's NRI socket: when the runtime restarts, when it drops the plugin, and when the
 * socket only appears later. Callbacks must not throw.
 */
export function keepNriConnection(options: NriConnectionOptions): NriConnection {
  const { onConnected, onDisconnected, reconnect = defaultReconnect, ...pluginOptions } = options;
  const delay = createRetryDelay(reconnect);
  let plugin: Plugin | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  function open(): void {
    let readyAt: number | undefined;
    plugin = connectPlugin({
      ...pluginOptions,
      onSynchronize(pods, containers) {
        readyAt = performance.now();
        pluginOptions.onSynchronize(pods, containers);
        onConnected?.();
      },
      onClose(error) {
        if (readyAt !== undefined && performance.now() - readyAt >= GOOD_LIFE_MS) delay.reset();
        const retryInMs = delay.next();
        timer = setTimeout(open, retryInMs);
        onDisconnected?.(error, retryInMs);
      },
    });
  }

  open();
  return {
    connected: () => !closed && plugin?.connected() === true,
    close() {
      closed = true;
      clearTimeout(timer);
      plugin?.close();
    },
  };
}
