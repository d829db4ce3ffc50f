import type { Kubectl, KubectlResult } from '../kubectl.ts';

/** Where the agents are, and with what they are reached. */
export type ExecTarget = {
  readonly kubectl: Kubectl;
  /** Of the agents' pods. */
  readonly namespace: string;
  /** For one answer, in ms. */
  readonly timeoutMs: number;
};

/** Runs `pullwarden WORDS` in the agent's container of a pod, as `kubectl exec` does. */
export type Exec = {
  /** To its end. The time counts from when it really begins. */
  run(pod: string, words: readonly string[]): Promise<KubectlResult>;
  /**
   * Hands on what it writes, until it ends or `signal` ends it; then says why it ended. Its standard input
   * stays open as long as somebody listens, so that the program in the pod can tell.
   */
  follow(
    pod: string,
    words: readonly string[],
    onStdout: (text: string) => void,
    signal: AbortSignal,
  ): Promise<string>;
  close(): Promise<void>;
};

export const CONTAINER = 'agent';
export const PROGRAM = 'pullwarden';

/**
 * What one agent may answer at most. 5,000 verdicts have some 4 MB; a node that somebody has taken over may
 * send anything.
 */
export const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
