import { setTimeout as sleep } from 'node:timers/promises';
import { RuntimeError } from '../../errors.ts';
import type { Runtime, RuntimeContainer } from '../../runtime/runtime.ts';
import type { StopOutcome } from '../plan.ts';

/** While a container is created but not started there is nothing to stop yet; how often to look, in ms. */
const CREATED_POLL_MS = 50;
/** Kubelet starts what it created at once; afterwards the watch's `started` and relists are enough. */
const CREATED_PATIENCE_MS = 30_000;
const RETRY_MS = [200, 500, 1_000, 2_000, 5_000];

/** Whose a container is, for those who read what became of it. */
export type ContainerNames = Pick<RuntimeContainer, 'containerName' | 'pod'>;

export type Stopper = {
  /**
   * Keeps this container from running: stops it now, and again whenever it is seen running. Resolves with how
   * the first try ended; after `failed` it goes on trying until the container is stopped or gone.
   */
  mustNotRun(id: string, names: ContainerNames): Promise<StopOutcome>;
  /** The watch saw it start, or still running. */
  onRunning(id: string): void;
  /** The container is gone from the runtime. */
  forget(id: string): void;
  close(): Promise<void>;
};

export type StopperOptions = {
  readonly runtime: Pick<Runtime, 'stopContainer' | 'containerState'>;
  /** Every attempt on a container after the first one that `mustNotRun` answers with. */
  readonly onLaterOutcome: (id: string, outcome: StopOutcome, names: ContainerNames) => void;
};

/** Stops containers with StopContainer and a grace period of 0 s, and keeps them stopped. */
export function createStopper({ runtime, onLaterOutcome }: StopperOptions): Stopper {
  const mustNotRun = new Map<string, ContainerNames>();
  const busy = new Map<string, Promise<StopOutcome>>();
  const closing = new AbortController();

  /** StopContainer answers without an error for a container that was only created, and does nothing to it. */
  async function stopOnce(id: string): Promise<StopOutcome> {
    const before = await runtime.containerState(id);
    if (before === undefined) return 'gone';
    if (before === 'exited') return 'alreadyExited';
    if (before === 'created') return 'notStarted';
    if (!(await runtime.stopContainer(id))) return 'gone';
    const after = await runtime.containerState(id);
    return after === undefined || after === 'exited' ? 'stopped' : 'failed';
  }

  async function attempt(id: string): Promise<StopOutcome> {
    const patience = performance.now() + CREATED_PATIENCE_MS;
    for (;;) {
      try {
        const outcome = await stopOnce(id);
        // `forget` may have been called already; and no id comes back.
        if (outcome === 'gone') mustNotRun.delete(id);
        const isFinal = outcome !== 'notStarted' || performance.now() > patience;
        if (isFinal || !mustNotRun.has(id) || closing.signal.aborted) return outcome;
      } catch (error) {
        if (error instanceof RuntimeError) return 'failed';
        throw error;
      }
      await pause(CREATED_POLL_MS);
    }
  }

  function start(id: string): Promise<StopOutcome> {
    const running = busy.get(id);
    if (running) return running;
    const next = attempt(id).finally(() => busy.delete(id));
    busy.set(id, next);
    return next;
  }

  async function keepTrying(id: string): Promise<void> {
    for (let tries = 0; mustNotRun.has(id) && !closing.signal.aborted; tries += 1) {
      await pause(RETRY_MS[Math.min(tries, RETRY_MS.length - 1)] ?? 5_000);
      const names = mustNotRun.get(id);
      if (names === undefined || closing.signal.aborted) return;
      const outcome = await start(id);
      onLaterOutcome(id, outcome, names);
      if (outcome !== 'failed') return;
    }
  }

  async function pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: closing.signal, ref: false }).catch(() => undefined);
  }

  return {
    async mustNotRun(id, names) {
      mustNotRun.set(id, names);
      const outcome = await start(id);
      if (outcome === 'failed') void keepTrying(id);
      return outcome;
    },
    onRunning(id) {
      const names = mustNotRun.get(id);
      if (names === undefined || busy.has(id)) return;
      void start(id).then((outcome) => {
        onLaterOutcome(id, outcome, names);
        if (outcome === 'failed') void keepTrying(id);
      });
    },
    forget(id) {
      mustNotRun.delete(id);
    },
    async close() {
      closing.abort();
      await Promise.allSettled(busy.values());
    },
  };
}
