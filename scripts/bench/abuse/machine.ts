import { cpus } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';

/** What stands in the way of everybody, whoever is to blame for it. */
export type MachineUse = {
  /** Of all its cores, in percent. */
  readonly busyPercent: number;
  /**
   * The longest that this process was held up, ms. It is the API server, kubelet and the abusers as well, and
   * what it takes to see that a container was created counts as the container's time.
   */
  readonly benchLoopWorst: number;
};

/** @returns ends the watch */
export function watchMachine(): () => MachineUse {
  const before = ticks();
  const loop = monitorEventLoopDelay({ resolution: 10 });
  loop.enable();
  return () => {
    loop.disable();
    const after = ticks();
    const idle = (after.idle - before.idle) / Math.max(1, after.all - before.all);
    return { busyPercent: 100 * (1 - idle), benchLoopWorst: loop.max / 1e6 };
  };
}

function ticks(): { readonly idle: number; readonly all: number } {
  let idle = 0;
  let all = 0;
  for (const { times } of cpus()) {
    idle += times.idle;
    all += times.user + times.nice + times.sys + times.irq + times.idle;
  }
  return { idle, all };
}
