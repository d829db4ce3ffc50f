import { LRUCache } from 'lru-cache';
import type { CreateContainerRequest } from '../../nri/messages.ts';
import type { Finding } from '../finding.ts';
import type { Handover } from '../handover.ts';
import type { Enforcement, Judgement, Report } from '../judgement.ts';
import { containerKey } from './create-request.ts';

export type VetoReportsOptions = {
  readonly handover: Pick<Handover, 'isWithGuard'>;
  readonly report: Report;
  /** A refusal that is not reported because the same one was before. */
  readonly onRefusedAgain: () => void;
};

export type VetoReports = {
  allowed(request: CreateContainerRequest, finding: Finding, durationMs: number): void;
  refused(request: CreateContainerRequest, finding: Finding, durationMs: number): void;
  /** Reports at once what is still to be reported. */
  flush(): void;
};

const MAX_REMEMBERED = 10_000;
/** The runtime creates the container meanwhile: writes to the log and the audit trail would be in its way. */
const REPORT_AFTER_MS = 100;
const REFUSED_AGAIN_MS = 300_000;

/**
 * Reports what the veto did. Kubelet tries a container that was refused again every ten seconds or so: the
 * same refusal is reported once in five minutes.
 */
export function createVetoReports({ handover, report, onRefusedAgain }: VetoReportsOptions): VetoReports {
  /** Reasons of refusals, by container of a pod. */
  const refusals = new LRUCache<string, string>({ max: MAX_REMEMBERED, ttl: REFUSED_AGAIN_MS });
  const waiting = new Map<NodeJS.Timeout, () => void>();

  function reportBoth(judgement: Judgement, enforcement?: Enforcement): void {
    report.verdict(judgement);
    report.enforced(judgement, enforcement);
  }

  function later(write: () => void): void {
    const timer = setTimeout(() => {
      waiting.delete(timer);
      write();
    }, REPORT_AFTER_MS).unref();
    waiting.set(timer, write);
  }

  return {
    allowed(request, finding, durationMs) {
      refusals.delete(containerKey(request));
      const judgement = judgementOf(request, finding, durationMs);
      later(() => {
        // The guard may have found meanwhile that the container uses other contents.
        if (!handover.isWithGuard(request.id)) reportBoth(judgement);
      });
    },
    refused(request, finding, durationMs) {
      const key = containerKey(request);
      const { reason } = finding.access.verdict;
      if (refusals.get(key) === reason) {
        onRefusedAgain();
        return;
      }
      refusals.set(key, reason);
      const judgement = judgementOf(request, finding, durationMs);
      later(() => reportBoth(judgement, { action: 'veto', outcome: 'refused' }));
    },
    flush() {
      for (const [timer, write] of waiting) {
        clearTimeout(timer);
        write();
      }
      waiting.clear();
    },
  };
}

function judgementOf(request: CreateContainerRequest, finding: Finding, durationMs: number): Judgement {
  const { id, podSandboxId, pod, containerName } = request;
  const { spec, kind, imageRef, contents, access } = finding;
  const { verdict, doubt } = access;
  const container = {
    ...{ id, podSandboxId, pod, containerName, imageRef: contents.own },
    state: 'created' as const,
    createdAt: BigInt(Date.now()) * 1_000_000n,
    attempt: 0,
  };
  return { container, preexisting: false, spec, kind, imageRef, verdict, doubt, durationMs };
}
