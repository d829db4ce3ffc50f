import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { NriError } from '../../errors.ts';
import type { NriConfiguration } from '../../nri/messages.ts';
import type { NriHold } from '../../nri/nri-connection.ts';
import { createRetryDelay, type RetryDelays } from '../../retry-delay.ts';
import { ContainerRefused, type Veto } from './create-container.ts';
import type { PreparedContainer } from './create-request.ts';
import {
  type FromVetoWorker,
  monotonicMs,
  type ToVetoWorker,
  type VetoQuestion,
  type VetoWorkerData,
} from './messages.ts';

/** A thread that lived this long (ms) was a good one. */
const GOOD_LIFE_MS = 10_000;
const defaultRestart: RetryDelays = { initialMs: 200, maxMs: 5_000 };
/** One Synchronize may hold 64 MiB; what grows beyond this ends the thread and not the agent. */
const MEMORY_LIMITS = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 4 };

export type VetoThreadOptions = VetoWorkerData & {
  /** @throws ContainerRefused */
  readonly createContainer: Veto['createContainer'];
  /** A container was created without a question, because `letBy` had told of it. */
  readonly createdAsPrepared?: Veto['createdAsPrepared'];
  /** Why the plugin must not register now, asked before each try and about every second while it must not. */
  readonly whyNotRegister: (waitedMs: number) => NriHold | undefined;
  readonly onConfigure: (configuration: NriConfiguration) => void;
  /** The runtime asks before it creates a container from now on. */
  readonly onConnected: () => void;
  /** It does not, or not any more: the connection ended, could not be made or is put off, or the thread crashed. */
  readonly onDisconnected: (reason: NriError['reason'], message: string) => void;
  /** The thread refused a container by itself, because the verdict came too late. */
  readonly onInProgress: () => void;
  /** A mistake of the agent's own; the thread answers in its place. */
  readonly onInternalError: (error: unknown) => void;
  /** Milliseconds until a thread that crashed is started again; default 200 to 5,000. */
  readonly restart?: RetryDelays;
};

export type VetoThread = {
  connected(): boolean;
  /** The thread need not ask about this container. */
  letBy(container: PreparedContainer): void;
  close(): Promise<void>;
};

/** Keeps a thread with the NRI connection running and answers what it asks. Callbacks must not throw. */
export function startVetoThread(options: VetoThreadOptions): VetoThread {
  const { socketPath, index, settings, restart = defaultRestart } = options;
  const delay = createRetryDelay(restart);
  let worker: Worker | undefined;
  let timer: NodeJS.Timeout | undefined;
  let connected = false;
  let closed = false;

  async function answer(asking: Worker, { number, answerByMs, ...question }: VetoQuestion): Promise<void> {
    const remainingMs = answerByMs - monotonicMs();
    // This thread was busy for so long that the other one has answered.
    if (remainingMs <= 0) return;
    let refusal: string | undefined;
    try {
      await options.createContainer({ ...question, deadlineMs: performance.now() + remainingMs });
    } catch (error) {
      if (!(error instanceof ContainerRefused)) return options.onInternalError(error);
      refusal = error.message;
    }
    asking.postMessage({ type: 'answer', number, refusal } satisfies ToVetoWorker);
  }

  function answerRegistration(asking: Worker, waitedMs: number): void {
    const hold = options.whyNotRegister(waitedMs);
    asking.postMessage({ type: 'registration', hold } satisfies ToVetoWorker);
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
      if (closed) return;
      if (message.type === 'question') void answer(started, message);
      else if (message.type === 'createdAsPrepared') options.createdAsPrepared?.(message);
      else if (message.type === 'refusedInProgress') options.onInProgress();
      else if (message.type === 'mayRegister') answerRegistration(started, message.waitedMs);
      else if (message.type === 'configured') options.onConfigure(message.configuration);
      else if (message.type === 'connected') {
        connected = true;
        options.onConnected();
      } else {
        connected = false;
        options.onDisconnected(message.reason, message.message);
      }
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
    letBy(container) {
      if (connected) worker?.postMessage({ type: 'prepared', ...container } satisfies ToVetoWorker);
    },
    async close() {
      closed = true;
      connected = false;
      clearTimeout(timer);
      await worker?.terminate();
    },
  };
}
