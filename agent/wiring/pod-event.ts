import type { Enforcement, Judgement } from '../enforcement/judgement.ts';
import { tenantText } from '../enforcement/tenant-message.ts';
import type { PodEvent } from '../kubernetes/event-correlator.ts';
import type { ContainerKind } from '../pods/pod-source.ts';

/** As kubelet names the container that an Event is about (pkg/kubelet/container/ref.go). */
const FIELDS: Record<ContainerKind, string> = {
  container: 'spec.containers',
  initContainer: 'spec.initContainers',
  ephemeralContainer: 'spec.ephemeralContainers',
};

/**
 * The Event that a verdict calls for; undefined for one that allows, and for a container of no pod that is
 * known. Its text is for the tenant: the verdict's own message, which may name others' repositories, stays
 * out of it.
 */
export function podEventOf(
  { container, spec, kind, verdict }: Judgement,
  enforcement: Enforcement | undefined,
): PodEvent | undefined {
  if (verdict.verdict === 'allowed' || spec === undefined || kind === undefined) return undefined;
  const runsOn = enforcement?.action === 'none' ? `; it runs all the same: ${enforcement.outcome}` : '';
  return {
    pod: container.pod,
    fieldPath: `${FIELDS[kind]}{${container.containerName}}`,
    reason: verdict.verdict === 'denied' ? 'ImageAccessDenied' : 'ImageAccessUnverifiable',
    message: `${tenantText(verdict, spec.image)}${runsOn}`,
  };
}
