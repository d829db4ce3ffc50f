import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { KeyringSecret } from '../../credentials/keyring.ts';
import type { Found, LookupAnswer, LookupQuestion } from './messages.ts';

/** Of one look-up, in ms, on a node that is busy; 1 MiB takes half a second at most on one that is not. */
const MAX_MS = 15_000;
/** A thread takes memory: it ends when nothing was asked for this long (ms). */
const IDLE_MS = 10_000;
/** Look-ups of one namespace that may wait. */
const MAX_WAITING = 50;
const MEMORY_LIMITS = { maxOldGenerationSizeMb: 48, maxYoungGenerationSizeMb: 2 };

export type LargeSecretReader = {
  /**
   * What the secrets of one namespace offer for a repository; one look-up at a time, the namespaces in turn.
   */
  find(namespace: string, secrets: readonly KeyringSecret[], repository: string): Promise<Found>;
};

type Waiting = Omit<LookupQuestion, 'number'> & { readonly answer: (found: Found) => void };

/**
 * Reads docker configs that a tenant made large on a thread of their own, which is there only while it is
 * needed.
 */
export function createLargeSecretReader(maxMs = MAX_MS): LargeSecretReader {
  /** In the order in which they are served: a namespace that was served goes to the end. */
  const waiting = new Map<string, Waiting[]>();
  let worker: Worker | undefined;
  let current: Waiting | undefined;
  let number = 0;
  let timer: NodeJS.Timeout | undefined;

  function endThread(): void {
    void worker?.terminate();
    worker = undefined;
  }

  function answer(found: Found): void {
    clearTimeout(timer);
    const answered = current;
    current = undefined;
    answered?.answer(found);
    askNext();
  }

  function open(): Worker {
    // Runs from the sources as well as compiled.
    const entry = new URL(`./secrets-worker${extname(import.meta.url)}`, import.meta.url);
    const started = new Worker(entry, { resourceLimits: MEMORY_LIMITS, name: 'secrets' });
    started.on('message', (message: LookupAnswer) => {
      if (started === worker && message.number === number) answer(message.found);
    });
    started.on('error', () => undefined);
    started.on('exit', () => {
      if (started !== worker) return;
      worker = undefined;
      if (current) answer(tooCostly);
    });
    return started;
  }

  function takeNext(): Waiting | undefined {
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
    const { secrets, repository } = current;
    worker.postMessage({ number, secrets, repository } satisfies LookupQuestion);
    timer = setTimeout(() => {
      endThread();
      answer(tooCostly);
    }, maxMs);
  }

  return {
    find(namespace, secrets, repository) {
      const all = waiting.get(namespace) ?? [];
      if (all.length >= MAX_WAITING) return Promise.resolve(tooCostly);
      return new Promise((resolve) => {
        const plain = secrets.map(({ namespace: of, name, uid, type, data }) => ({
          namespace: of,
          name,
          uid,
          type,
          data,
        }));
        all.push({ secrets: plain, repository, answer: resolve });
        waiting.set(namespace, all);
        askNext();
      });
    },
  };
}

const tooCostly: Found = { malformed: 'the docker configs of this pod take too long to read' };
