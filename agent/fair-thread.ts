import { readlinkSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { type TransferListItem, Worker } from 'node:worker_threads';
import { createFairQueue } from './fair-queue.ts';

/**
 * A thread for what a tenant made so large that the main thread would be held up by it. It is there only
 * while it is needed, does one thing at a time, and serves the namespaces in turn.
 */
export type FairThread<Question, Answer> = {
  /**
   * Undefined where that takes too long or too much memory, or where too much of the namespace waits already.
   */
  ask(
    namespace: string,
    question: Question,
    transfer?: readonly TransferListItem[],
  ): Promise<Answer | undefined>;
};

/** What the thread hears and says; numbers tell answers of a thread that was ended from others. */
export type Numbered<Content> = { readonly number: number; readonly content: Content };

/** What was a Buffer arrives from another thread as the plain bytes that it is; the same bytes, as Buffers. */
export function asBuffers(data: ReadonlyMap<string, Uint8Array>): ReadonlyMap<string, Buffer> {
  return new Map(
    Array.from(data, ([key, { buffer, byteOffset, byteLength }]) => {
      return [key, Buffer.from(buffer, byteOffset, byteLength)] as const;
    }),
  );
}

/**
 * For such a thread's program: whatever else the agent does goes first, where the system lets it. Linux has
 * priorities for threads (setpriority(2), NOTES), and names the one that asks in /proc/thread-self (proc(5)).
 */
export function letOthersGoFirst(): void {
  try {
    const [, thread] = /\/task\/(\d+)$/.exec(readlinkSync('/proc/thread-self')) ?? [];
    if (thread !== undefined) setPriority(Number(thread), constants.priority.PRIORITY_LOW);
  } catch {
    // Without a /proc of its own, or not permitted: it reads all the same.
  }
}

export type FairThreadOptions = {
  /** The thread's program, which answers each message in its turn. */
  readonly entry: URL;
  readonly name: string;
  /** Of its heap. */
  readonly maxMiB: number;
  /** For one answer, on a node that is busy. */
  readonly maxMs: number;
};

/** A thread takes memory: it ends when nothing was asked for this long (ms). */
const IDLE_MS = 10_000;
/** Questions of one namespace that may wait. */
const MAX_WAITING = 50;

export function createFairThread<Question, Answer>(options: FairThreadOptions): FairThread<Question, Answer> {
  const queue = createFairQueue({ atOnce: 1 });
  let worker: Worker | undefined;
  /** Answers the question that the thread is at. */
  let answer: (given: Answer | undefined) => void = () => undefined;
  let number = 0;
  let idle: NodeJS.Timeout | undefined;

  function endThread(): void {
    void worker?.terminate();
    worker = undefined;
  }

  function open(): Worker {
    const resourceLimits = { maxOldGenerationSizeMb: options.maxMiB, maxYoungGenerationSizeMb: 2 };
    const started = new Worker(options.entry, { resourceLimits, name: options.name });
    started.on('message', (message: Numbered<Answer>) => {
      if (started === worker && message.number === number) answer(message.content);
    });
    started.on('error', () => undefined);
    started.on('exit', () => {
      if (started !== worker) return;
      worker = undefined;
      answer(undefined);
    });
    return started;
  }

  async function askThread(
    question: Question,
    transfer: readonly TransferListItem[],
  ): Promise<Answer | undefined> {
    clearTimeout(idle);
    worker ??= open();
    worker.ref();
    number += 1;
    const message: Numbered<Question> = { number, content: question };
    const answered = new Promise<Answer | undefined>((resolve) => {
      answer = resolve;
    });
    worker.postMessage(message, transfer);
    const tooLate = setTimeout(() => {
      endThread();
      answer(undefined);
    }, options.maxMs);
    const given = await answered;
    clearTimeout(tooLate);
    // Nobody waits for it: the process may end.
    worker?.unref();
    idle = setTimeout(endThread, IDLE_MS).unref();
    return given;
  }

  return {
    async ask(namespace, question, transfer = []) {
      if (queue.waiting(namespace) >= MAX_WAITING) return undefined;
      return queue.run(namespace, () => askThread(question, transfer));
    },
  };
}
