import { LRUCache } from 'lru-cache';
import type { RetryDelays } from '../retry-delay.ts';
import type { RuntimeEvents } from './cri-client.ts';
import { keepEventStream } from './event-stream.ts';
import type { ImageNames, Runtime, RuntimeImage } from './runtime.ts';

export type ImageNamesOptions = {
  readonly runtime: Pick<Runtime, 'imageStatus'> & Pick<RuntimeEvents, 'subscribeToImages'>;
  /** What was kept counts no longer: a name has changed, or changes are not heard any more. */
  readonly onChange: () => void;
  readonly timing?: Partial<ImageNamesTiming>;
};

/** Milliseconds; the defaults are what a node wants, tests are in more of a hurry. */
export type ImageNamesTiming = {
  /**
   * After an event, and after subscribing, nothing is kept for so long. containerd sends the event before its
   * CRI plugin, which hears it as well, gives the new answer; and it does not say when it begins to send.
   */
  readonly settleMs: number;
  /** However sure the events are. */
  readonly keepMs: number;
  readonly reconnect: RetryDelays;
  readonly unsupported: RetryDelays;
  readonly minStreamLifeMs: number;
};

export type KeptImageNames = ImageNames & {
  /** The runtime has come back: the stream of events may have been asked for before, and is heard only now. */
  settle(): void;
  close(): void;
};

const MAX_NAMES = 1_000;
const defaultTiming: ImageNamesTiming = {
  settleMs: 5_000,
  keepMs: 60_000,
  reconnect: { initialMs: 200, maxMs: 5_000 },
  unsupported: { initialMs: 10_000, maxMs: 300_000 },
  minStreamLifeMs: 1_000,
};

/**
 * What images' names mean to the runtime, without a question each time: answers are kept until the runtime
 * says that any image's name has changed. Where it says no such thing (CRI-O), it is asked each time. A
 * change is late here by the time that an event takes; the guard, which sees what a container really uses,
 * does not rely on it.
 */
export function keepImageNames({ runtime, onChange, timing }: ImageNamesOptions): KeptImageNames {
  const { settleMs, keepMs, reconnect, unsupported, minStreamLifeMs } = { ...defaultTiming, ...timing };
  const kept = new LRUCache<string, RuntimeImage>({
    max: MAX_NAMES,
    ttl: keepMs,
    perf: { now: () => performance.now() },
  });
  /** On the clock of performance.now(): what is asked from then on may be kept. */
  let keepFrom = Number.POSITIVE_INFINITY;

  function changesAreHeardFrom(time: number): void {
    keepFrom = time;
    kept.clear();
    onChange();
  }
  const unheard = () => changesAreHeardFrom(Number.POSITIVE_INFINITY);
  const settle = () => changesAreHeardFrom(performance.now() + settleMs);
  /** Only where changes are heard at all. */
  const settleAgain = () => {
    if (keepFrom < Number.POSITIVE_INFINITY) settle();
  };

  const close = keepEventStream<void>({
    subscribe: runtime.subscribeToImages,
    onSubscribed: settle,
    onEvent: settle,
    onMalformed: settle,
    onEnd: unheard,
    reconnect,
    unsupported,
    minLifeMs: minStreamLifeMs,
  });

  return {
    async imageStatus(name) {
      const known = kept.get(name);
      if (known) return known;
      const askedAt = performance.now();
      const image = await runtime.imageStatus(name);
      // An event that came meanwhile has put this off.
      if (image && askedAt >= keepFrom) kept.set(name, image);
      return image;
    },
    isKept: (name, image) => kept.get(name) === image,
    settle: settleAgain,
    close() {
      close();
      unheard();
    },
  };
}

/** Without the veto nobody waits for an answer: the runtime is asked each time. */
export function askForImageNames({ imageStatus }: Pick<Runtime, 'imageStatus'>): KeptImageNames {
  return { imageStatus, isKept: () => false, settle: () => undefined, close: () => undefined };
}
