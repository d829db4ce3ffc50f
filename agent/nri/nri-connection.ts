import { NriError } from '../errors.ts';
import { createRetryDelay, type RetryDelays } from '../retry-delay.ts';
import { connectPlugin, type Plugin, type PluginOptions } from './plugin.ts';

/** A connection that lived this long (ms) was a good one: the next try after it comes soon. */
const GOOD_LIFE_MS = 1_000;
const defaultReconnect: RetryDelays = { initialMs: 200, maxMs: 5_000 };
/** Between one question whether to try and the next. */
const LOOK_AGAIN: RetryDelays = { initialMs: 250, maxMs: 1_000 };

/** Why a try is put off. */
export type NriHold = { readonly reason: NriError['reason']; readonly message: string };

export type NriConnectionOptions = Omit<PluginOptions, 'onClose'> & {
  /**
   * Asked before every try, and again about every second as long as it answers why not. A question that is not answered
   * is waited for. `waitedMs`: since a try was first put off; from 0 again after each connection.
   */
  readonly whyNotNow?: (waitedMs: number) => Promise<NriHold | undefined>;
  /** The runtime asks about new containers from now on; called after `onSynchronize`. */
  readonly onConnected?: () => void;
  /**
   * It does not, or not any more; the next try comes in `retryInMs` at the earliest. Called for every try that fails, and
   * once for each reason why a try is put off. Containers are created without the plugin meanwhile.
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
  const { whyNotNow, onConnected, onDisconnected, reconnect = defaultReconnect, ...pluginOptions } = options;
  const delay = createRetryDelay(reconnect);
  const lookAgain = createRetryDelay(LOOK_AGAIN);
  let plugin: Plugin | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let heldSince: number | undefined;
  let toldHold: NriError['reason'] | undefined;

  async function openWhenAllowed(): Promise<void> {
    const waitedMs = heldSince === undefined ? 0 : performance.now() - heldSince;
    const hold = await whyNotNow?.(waitedMs);
    if (closed) return;
    if (hold === undefined) return open();
    heldSince ??= performance.now();
    const againInMs = lookAgain.next();
    timer = setTimeout(openWhenAllowed, againInMs);
    if (toldHold === hold.reason) return;
    toldHold = hold.reason;
    onDisconnected?.(new NriError(hold.reason, hold.message), againInMs);
  }

  function open(): void {
    let readyAt: number | undefined;
    toldHold = undefined;
    lookAgain.reset();
    plugin = connectPlugin({
      ...pluginOptions,
      onSynchronize(pods, containers) {
        readyAt = performance.now();
        heldSince = undefined;
        pluginOptions.onSynchronize(pods, containers);
        onConnected?.();
      },
      onClose(error) {
        if (readyAt !== undefined && performance.now() - readyAt >= GOOD_LIFE_MS) delay.reset();
        const retryInMs = delay.next();
        timer = setTimeout(openWhenAllowed, retryInMs);
        onDisconnected?.(error, retryInMs);
      },
    });
  }

  void openWhenAllowed();
  return {
    connected: () => !closed && plugin?.connected() === true,
    close() {
      closed = true;
      clearTimeout(timer);
      plugin?.close();
    },
  };
}
