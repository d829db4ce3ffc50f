import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { NriError } from '../../errors.ts';
import type { NriConfiguration } from '../../nri/messages.ts';
import { createRetryDelay, type RetryDelays } from '../../retry-delay.ts';
import { ContainerRefused, type Veto } from './create-container.ts';
import type { PreparedContainer } from './create-request.ts';
import { type FromVetoWorker, monotonicMs, type ToVetoWorker, type VetoWorkerData } from './messages.ts';

/** A thread that lived this long (ms) was a good one. */
const GOOD_LIFE_MS = 10_000;
const defaultRestart: RetryDelays = { initialMs: 200, maxMs: 5_000 };
/**
 * A message is 4 MiB at most, and unanswered ones 16 MiB; what grows beyond this ends the thread and not the
 * agent.
 */
const MEMORY_LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 2 };

export type VetoThreadOptions = VetoWorkerData & {
  /** @throws ContainerRefused */
  readonly createContainer: Veto['createContainer'];
  /** A container that `allowPrepared` was called with was created without an answer from here. */
  readonly createdAsPrepared?: Veto['createdAsPrepared'];
  /**
   * May the plugin register now? Asked before each try, and about every second while it may not, for
   * `waitedMs` by then.
   */
  readonly mayRegister: (waitedMs: number) => boolean;
  readonly onConfigure: (configuration: NriConfiguration) => void;
  /** The runtime asks before it creates a container from now on. */
  readonly onConnected: () => void;
  /** It does not, or not any more: the connection ended or could not be made, or the thread crashed. */
  readonly onDisconnected: (reason: NriError['reason'], message: string) => void;
  /** The thread refused a container by itself, because the verdict came too late. */
  readonly onInProgress: () => void;
  /** A question was answered, for which the runtime waited so long (ms) and created nothing else. */
  readonly onAnswered?: (waitedMs: number) => void;
  /** A mistake of the agent's own; the thread answers in its place. */
  readonly onInternalError: (error: unknown) => void;
  /** Milliseconds until a thread that crashed is started again; default 200 to 5,000. */
  readonly restart?: RetryDelays;
};

export type VetoThread = {
  connected(): boolean;
  /** The thread may allow this container by itself, see `PreparedContainer`. */
  allowPrepared(container: PreparedContainer): void;
  /** What names of images are known to mean counts no longer. */
  namesChanged(): void;
  close(): Promise<void>;
};

type Question = Extract<FromVetoWorker, { readonly type: 'createContainer' }>;

/** Keeps a thread with the NRI connection running and answers what it asks. Callbacks must not throw. */
export function startVetoThread(options: VetoThreadOptions): VetoThread {
  const { socketPath, index, settings, restart = defaultRestart } = options;
  const delay = createRetryDelay(restart);
  let worker: Worker | undefined;
  let timer: NodeJS.Timeout | undefined;
  let connected = false;
  let closed = false;

  async function answer(asking: Worker, message: Question): Promise<void> {
    const { number, request, answerByMs } = message;
    const remainingMs = answerByMs - monotonicMs();
    // This thread was busy for so long that the other one has answered.
    if (remainingMs <= 0) return;
    let refusal: string | undefined;
    try {
      await options.createContainer(request, performance.now() + remainingMs);
    } catch (error) {
      if (!(error instanceof ContainerRefused)) return options.onInternalError(error);
      refusal = error.message;
    }
    asking.postMessage({ type: 'created', number, refusal } satisfies ToVetoWorker);
  }

  function heard(asking: Worker, message: FromVetoWorker): void {
    switch (message.type) {
      case 'createContainer':
        void answer(asking, message);
        break;
      case 'createdAsPrepared':
        options.createdAsPrepared?.(message.request);
        break;
      case 'refusedInProgress':
        options.onInProgress();
        break;
      case 'answered':
        options.onAnswered?.(message.waitedMs);
        break;
      case 'mayRegister': {
        const mayRegister = options.mayRegister(message.waitedMs);
        asking.postMessage({ type: 'registration', mayRegister } satisfies ToVetoWorker);
        break;
      }
      case 'configured':
        options.onConfigure(message.configuration);
        break;
      case 'connected':
        connected = true;
        options.onConnected();
        break;
      case 'disconnected':
        connected = false;
        options.onDisconnected(message.reason, message.message);
    }
  }

  function open(): void {
    const startedAt = performance.now();
    // Runs from the sources as well as compiled.
    const entry = new URL(`./worker${extname(import.meta.url)}`, import.meta.url);
    const workerData: VetoWorkerData = { socketPath, index, settings };
    const started = new Worker(entry, { workerData, resourceLimits: MEMORY_LIMITS, name: 'nri' });
    worker = started;
    let problem = 'the NRI thread ended';
    started.on('message', (message: FromVetoWorker) => {
      if (!closed) heard(started, message);
    });
    started.on('error', (error) => {
      problem = `the NRI thread crashed: ${error instanceof Error ? error.message : String(error)}`;
    });
    started.on('exit', () => {
      connected = false;
      if (closed) return;
      if (performance.now() - startedAt >= GOOD_LIFE_MS) delay.reset();
      timer = setTimeout(open, delay.next());
      options.onDisconnected('internal', problem);
    });
  }

  open();
  return {
    connected: () => connected,
    allowPrepared(container) {
      if (connected) worker?.postMessage({ type: 'prepared', container } satisfies ToVetoWorker);
    },
    namesChanged() {
      worker?.postMessage({ type: 'namesChanged' } satisfies ToVetoWorker);
    },
    async close() {
      closed = true;
      connected = false;
      clearTimeout(timer);
      await worker?.terminate();
    },
  };
}
