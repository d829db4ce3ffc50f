import type { Pod, TerminatingPod, Termination } from './pod-source.ts';

/** What the API server says of the end of a pod, as far as it could be read. */
type End = {
  readonly deletionTimestamp?: string | undefined;
  readonly deletionGracePeriodSeconds?: number | undefined;
  readonly phase?: string | undefined;
};

/**
 * Undefined for a pod that nobody deleted, and for one whose containers have all ended.
 * `deletionTimestamp` (RFC 3339) is the moment of the deletion and the grace period together (ObjectMeta in
 * the Kubernetes API).
 */
export function terminationOf(end: End): Termination | undefined {
  if (end.deletionTimestamp === undefined) return undefined;
  // kubelet says so only once no container runs any more.
  if (end.phase === 'Succeeded' || end.phase === 'Failed') return undefined;
  const untilMs = Date.parse(end.deletionTimestamp);
  if (Number.isNaN(untilMs)) return undefined;
  return { untilMs, graceMs: (end.deletionGracePeriodSeconds ?? 0) * 1_000 };
}

/** Those of the pods that are being terminated. */
export function terminatingOf(pods: readonly Pod[]): TerminatingPod[] {
  return pods.flatMap(({ namespace, name, termination }) =>
    termination ? [{ namespace, name, ...termination }] : [],
  );
}
