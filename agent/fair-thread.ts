import { type TransferListItem, Worker } from 'node:worker_threads';

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

type Waiting<Question, Answer> = {
  readonly question: Question;
  readonly transfer: readonly TransferListItem[];
  readonly answer: (given: Answer | undefined) => void;
};

export function createFairThread<Question, Answer>(options: FairThreadOptions): FairThread<Question, Answer> {
  /** In the order in which they are served: a namespace that was served goes to the end. */
  const waiting = new Map<string, Waiting<Question, Answer>[]>();
  let worker: Worker | undefined;
  let current: Waiting<Question, Answer> | undefined;
  let number = 0;
  let timer: NodeJS.Timeout | undefined;

  function endThread(): void {
    void worker?.terminate();
    worker = undefined;
  }

  function answer(given: Answer | undefined): void {
    clearTimeout(timer);
    const answered = current;
    current = undefined;
    answered?.answer(given);
    askNext();
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
      if (current) answer(undefined);
    });
    return started;
  }

  function takeNext(): Waiting<Question, Answer> | undefined {
    const [next] = waiting;
    if (next === undefined) return undefined;
    const [namespace, all] = next;
    waiting.delete(namespace);
    const first = all.shift();
    if (all.length > 0) waiting.set(namespace, all);
    return first;
  }

  function askNext(): void {
    if (current) return;
    current = takeNext();
    if (current === undefined) {
      // Nobody waits for it: the process may end.
      worker?.unref();
      timer = setTimeout(endThread, IDLE_MS);
      timer.unref();
      return;
    }
    clearTimeout(timer);
    worker ??= open();
    worker.ref();
    number += 1;
    const message: Numbered<Question> = { number, content: current.question };
    worker.postMessage(message, current.transfer);
    timer = setTimeout(() => {
      endThread();
      answer(undefined);
    }, options.maxMs);
  }

  return {
    ask(namespace, question, transfer = []) {
      const all = waiting.get(namespace) ?? [];
      if (all.length >= MAX_WAITING) return Promise.resolve(undefined);
      return new Promise((resolve) => {
        all.push({ question, transfer, answer: resolve });
        waiting.set(namespace, all);
        askNext();
      });
    },
  };
}
