import { createRetryDelay, type RetryDelays } from '../retry-delay.ts';

export type RepeatedTaskOptions = {
  /** False when it came to nothing and is to be tried again. Must not throw. */
  readonly run: () => Promise<boolean>;
  /** Milliseconds from the end of one run to the next. */
  readonly intervalMs: () => number;
  /** After a run that came to nothing; never longer than the interval. */
  readonly retry: RetryDelays;
};

export type RepeatedTask = {
  /** Runs within so many milliseconds from now, or from the end of the run that is under way. */
  soon(withinMs?: number): void;
  /** The interval has changed: what was planned is planned anew. */
  replan(): void;
  /** Starts no further run. */
  stop(): void;
};

/** `due`: on the clock of performance.now(). */
type State =
  | { readonly phase: 'waiting'; readonly timer: NodeJS.Timeout | undefined; readonly due: number }
  | { readonly phase: 'running'; readonly againMs: number | undefined }
  | { readonly phase: 'stopped' };

/**
 * Something that is done again and again, one run at a time: at an interval, and earlier when asked for.
 * Whatever is asked for during a run becomes one more run. The first run is the first that is asked for.
 */
export function createRepeatedTask({ run, intervalMs, retry }: RepeatedTaskOptions): RepeatedTask {
  const retryDelay = createRetryDelay(retry);
  let state: State = { phase: 'waiting', timer: undefined, due: Number.POSITIVE_INFINITY };

  function plan(delayMs: number): void {
    if (state.phase === 'waiting') clearTimeout(state.timer);
    const timer = setTimeout(() => void begin(), delayMs);
    state = { phase: 'waiting', timer, due: performance.now() + delayMs };
  }

  async function begin(): Promise<void> {
    if (state.phase !== 'waiting') return;
    clearTimeout(state.timer);
    state = { phase: 'running', againMs: undefined };
    end(await run());
  }

  function end(succeeded: boolean): void {
    if (state.phase !== 'running') return;
    if (succeeded) retryDelay.reset();
    const wanted = succeeded ? (state.againMs ?? Number.POSITIVE_INFINITY) : retryDelay.next();
    plan(Math.min(wanted, intervalMs()));
  }

  return {
    soon(withinMs = 0) {
      if (state.phase === 'running') {
        state = { phase: 'running', againMs: Math.min(withinMs, state.againMs ?? Number.POSITIVE_INFINITY) };
      } else if (state.phase === 'waiting') {
        if (withinMs === 0) void begin();
        else if (performance.now() + withinMs < state.due) plan(withinMs);
      }
    },
    replan() {
      if (state.phase === 'waiting') plan(intervalMs());
    },
    stop() {
      if (state.phase === 'waiting') clearTimeout(state.timer);
      state = { phase: 'stopped' };
    },
  };
}
