import type { RuntimeError } from '../errors.ts';
import { createRetryDelay, type RetryDelays } from '../retry-delay.ts';

/** Hears events until `onEnd`, which is called exactly once unless the stream was ended here. */
export type EventListener<Event> = {
  readonly onEvent: (event: Event) => void;
  readonly onMalformed: () => void;
  /** Undefined: the runtime ended the stream in order (EOF). */
  readonly onEnd: (error: RuntimeError | undefined) => void;
};

export type EventStreamOptions<Event> = {
  /** Opens the stream; returns how to end it. */
  readonly subscribe: (listener: EventListener<Event>) => () => void;
  readonly onEvent: (event: Event) => void;
  readonly onMalformed: () => void;
  /** A stream was asked for; whether it will say anything is not known yet. */
  readonly onSubscribed: () => void;
  /** Events are given, or are not: called when that becomes known or changes. */
  readonly onSupport?: (supported: boolean) => void;
  /** The stream ended; another is asked for in a while. `hasNone`: there are no events, the runtime said. */
  readonly onEnd: (hasNone: boolean) => void;
  /** After a stream that broke because the runtime went away. */
  readonly reconnect: RetryDelays;
  /** After an answer that there are no events: an upgrade or a changed setting may bring them. */
  readonly unsupported: RetryDelays;
  /**
   * A stream that ends in order before this many ms and without an event is one that is never going to give
   * any.
   */
  readonly minLifeMs: number;
};

/**
 * Keeps one stream of events open for as long as the runtime gives them. Returns how to end it.
 */
export function keepEventStream<Event>(options: EventStreamOptions<Event>): () => void {
  const reconnect = createRetryDelay(options.reconnect);
  const unsupported = createRetryDelay(options.unsupported);
  let timer: NodeJS.Timeout | undefined;
  let unsubscribe = () => {};
  let stopped = false;
  let supported: boolean | undefined;

  function support(now: boolean): void {
    if (supported === now) return;
    supported = now;
    options.onSupport?.(now);
  }

  function open(): void {
    const since = performance.now();
    let spoke = false;
    // That it lived this long is the only sign of a stream on a node where nothing happens.
    const settled = setTimeout(() => {
      reconnect.reset();
      unsupported.reset();
      support(true);
    }, options.minLifeMs);
    const hear = () => {
      spoke = true;
      reconnect.reset();
      unsupported.reset();
      support(true);
    };
    const end = options.subscribe({
      onEvent(event) {
        hear();
        options.onEvent(event);
      },
      onMalformed: options.onMalformed,
      onEnd(error) {
        clearTimeout(settled);
        if (stopped) return;
        const wasShort = !spoke && performance.now() - since < options.minLifeMs;
        const hasNone = error === undefined ? wasShort : error.reason === 'unimplemented';
        if (hasNone) support(false);
        options.onEnd(hasNone);
        timer = setTimeout(open, hasNone ? unsupported.next() : reconnect.next());
      },
    });
    unsubscribe = () => {
      clearTimeout(settled);
      end();
    };
    options.onSubscribed();
  }

  open();
  return () => {
    stopped = true;
    clearTimeout(timer);
    unsubscribe();
  };
}
