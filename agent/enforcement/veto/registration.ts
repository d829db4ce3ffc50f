import type { TerminatingPod } from '../../pods/pod-source.ts';

/**
 * Whether the plugin may register with the runtime now.
 *
 * containerd and CRI-O hold a lock of NRI's while they carry out a lifecycle call (create, start, stop,
 * remove), and StopContainer is one that lasts as long as the pod's grace (containerd/nri, pkg/adaptation,
 * BlockPluginSync). To synchronize a plugin that registers they wait for all of these to end, and everything
 * that begins meanwhile waits for the plugin (containerd issue 14083): no container of the node starts or
 * stops, for an hour maybe, and going away again does not help. So the agent waits instead, and containers
 * are stopped after they were created meanwhile.
 *
 * Pods that are known to be terminated are all that can be seen of it: not what kubelet stops for other
 * reasons (a liveness probe, an eviction, a static pod that is taken away), and not that a restarted kubelet
 * stops a pod again.
 */

/** A freeze this short (ms) is nothing: it is how long a slow sandbox takes. */
const SHORT_MS = 5_000;
/** On a busy node some pod is always going. After this long (ms), an end as is usual is put up with. */
const PATIENCE_MS = 60_000;
/** The API server's default for terminationGracePeriodSeconds is 30, and kubelet begins a moment later. */
const USUAL_MS = 35_000;
/** An API server that is away must not keep the plugin away. */
const PATIENCE_FOR_PODS_MS = 30_000;

export type RegistrationQuestion = {
  /** Undefined: the pods are not known yet. */
  readonly terminating: readonly TerminatingPod[] | undefined;
  /** Epoch ms, as in the pods' `untilMs`. */
  readonly nowMs: number;
  /**
   * Since when kubelet may be stopping again what it was stopping before, epoch ms: the runtime went away
   * and came back.
   */
  readonly stoppedAgainSinceMs: number | undefined;
  /** Since registering was first put off, ms. */
  readonly waitedMs: number;
  /** The runtime died of the last registration: for so many ms there is to be no other. */
  readonly stayAwayMs: number;
};

/** Why not yet. */
export type RegistrationHold = {
  readonly reason: 'podsUnknown' | 'podsTerminating' | 'runtimeDied';
  readonly message: string;
  /** The pod that may take longest. */
  readonly last?: { readonly namespace: string; readonly name: string; readonly remainingMs: number };
};

/**
 * Undefined when the plugin may register. Pods with more than {@link USUAL_MS} left are waited for without
 * limit: a tenant with a long grace can hold off the veto by this, but not the guard behind it; registering
 * would let him hold up the node. A pod whose grace is over does not count: kubelet has killed it, or nobody
 * knows when it will end.
 */
export function registrationHold(question: RegistrationQuestion): RegistrationHold | undefined {
  const {
    terminating,
    nowMs,
    stoppedAgainSinceMs = Number.NEGATIVE_INFINITY,
    waitedMs,
    stayAwayMs,
  } = question;
  if (stayAwayMs > 0) {
    const minutes = Math.ceil(stayAwayMs / 60_000);
    const message =
      `waits for ${minutes} min: the runtime died while it told the plugin what exists, and would again ` +
      '(a few containers with 1 MiB of environment each are enough, whichever plugin it is)';
    return { reason: 'runtimeDied', message };
  }
  if (terminating === undefined) {
    if (waitedMs >= PATIENCE_FOR_PODS_MS) return undefined;
    return { reason: 'podsUnknown', message: 'waits for the first list of pods, half a minute at most' };
  }
  const acceptedMs = waitedMs >= PATIENCE_MS ? USUAL_MS : SHORT_MS;
  const long = terminating
    .map(({ namespace, name, untilMs, graceMs }) => {
      return { namespace, name, remainingMs: Math.max(untilMs, stoppedAgainSinceMs + graceMs) - nowMs };
    })
    .filter(({ remainingMs }) => remainingMs > acceptedMs)
    .sort((a, b) => b.remainingMs - a.remainingMs);
  const [last] = long;
  if (last === undefined) return undefined;
  const who = long.length === 1 ? '1 pod that is' : `${long.length} pods that are`;
  const ended = long.length === 1 ? 'it has' : 'they have';
  return {
    reason: 'podsTerminating',
    message:
      `waits for ${who} being terminated: registering would hold up every container of the node until ` +
      `${ended} ended (containerd issue 14083)`,
    last,
  };
}
