import type { RetryDelays } from '../retry-delay.ts';

/** All in ms. */
export type KubernetesTimings = {
  /**
   * What a watch asks the server to last, at least; at most twice that, by chance, as client-go's reflector
   * does.
   */
  readonly watchMs: number;
  /**
   * A watch that says nothing for so long is renewed: the server sends a bookmark about once a minute. After
   * two such in a row the pods are listed again.
   */
  readonly silenceMs: number;
  /**
   * A watch that ended sooner and said nothing counts as a failure, so that ending at once is not a busy
   * loop.
   */
  readonly shortWatchMs: number;
  /** A whole list, all its pages. */
  readonly listMs: number;
  /** A list that sends nothing for so long is given up. */
  readonly listSilenceMs: number;
  /**
   * Between tries. client-go's reflector waits up to 30 s; here it is less, so that pods are known again
   * within 30 s of the API server's return, whatever was asked last.
   */
  readonly retry: RetryDelays;
  /** How long `start` waits for the first listing before it lets the agent begin without. */
  readonly startMs: number;
  /**
   * How long `getPod` waits for the watch to bring a pod before it asks for it. Well below what the runtime
   * waits for a veto (2 s), so that a container without a pod, made with crictl say, gets its verdict in
   * time.
   */
  readonly waitForPodMs: number;
  /** How long a deleted pod is still found. */
  readonly departedMs: number;
  /** How old a secret may be that is not asked for afresh. */
  readonly secretMs: number;
  /** How long a secret that does not exist counts as missing for who does not ask afresh. */
  readonly missingSecretMs: number;
  /**
   * The Node authorizer learns of a new pod's secrets a moment after the pod is bound: ask again after so
   * long, after twice and four times as long.
   */
  readonly authorizerLagMs: number;
};

export const DEFAULT_TIMINGS: KubernetesTimings = {
  watchMs: 300_000,
  silenceMs: 90_000,
  shortWatchMs: 1_000,
  listMs: 60_000,
  listSilenceMs: 10_000,
  retry: { initialMs: 800, maxMs: 10_000 },
  startMs: 10_000,
  waitForPodMs: 750,
  departedMs: 60_000,
  secretMs: 60_000,
  missingSecretMs: 5_000,
  authorizerLagMs: 150,
};
