import { createRetryDelay, type RetryDelays } from '../../retry-delay.ts';

/**
 * A runtime may die of taking in a plugin, whichever plugin it is. containerd and CRI-O tell it what exists in
 * messages of up to 4 MiB, and where that is too little they send at least four pods and four containers at a
 * time, also where fewer than four are left: an index out of range, which ends the process (containerd/nri,
 * pkg/adaptation/plugin.go, synchronize and recalcObjsPerSyncMsg, 0.8.0 to 0.12.2; seen on containerd 2.1.9).
 * Some containers with 1 MiB of environment on a node of few pods are enough, so that a tenant can bring it
 * about. A plugin that came back every few seconds would end the runtime every few seconds.
 */
export type RuntimeDeaths = {
  /** The connection ended before the runtime had told what exists. */
  synchronizeUnfinished(): void;
  /** The runtime cannot be reached, by whichever of its sockets. */
  runtimeAway(): void;
  /** A plugin was taken in. */
  connected(): void;
  /** Milliseconds for which the plugin is to stay away for the runtime's sake; 0: it may come. */
  stayAwayMs(): number;
};

/** One that died of it was gone this soon (ms), or was seen to be gone before the connection's end was. */
const TOGETHER_MS = 5_000;
/** Once more after about ten minutes, later less often: what it died of may have gone by then. */
const STAY_AWAY: RetryDelays = { initialMs: 600_000, maxMs: 4 * 3_600_000 };

/** @param now milliseconds of a clock that never goes back */
export function createRuntimeDeaths(now: () => number): RuntimeDeaths {
  const delay = createRetryDelay(STAY_AWAY);
  let unfinishedAt = Number.NEGATIVE_INFINITY;
  let awayAt = Number.NEGATIVE_INFINITY;
  let stayAwayUntil = Number.NEGATIVE_INFINITY;

  function look(): void {
    const isDeath = now() - unfinishedAt <= TOGETHER_MS && now() - awayAt <= TOGETHER_MS;
    if (isDeath && now() >= stayAwayUntil) stayAwayUntil = now() + delay.next();
  }

  return {
    synchronizeUnfinished() {
      unfinishedAt = now();
      look();
    },
    runtimeAway() {
      awayAt = now();
      look();
    },
    connected() {
      delay.reset();
    },
    stayAwayMs: () => Math.max(0, stayAwayUntil - now()),
  };
}
