import { LRUCache } from 'lru-cache';
import type { CreateContainerRequest } from '../../nri/messages.ts';
import type { Finding } from '../finding.ts';
import { type ContainerOfPod, containerKey } from './create-request.ts';
import type { JudgeRequest } from './judge-request.ts';

export type Inquiries = {
  /**
   * What is found about the container; a request that comes again while it is being found waits for the
   * same.
   */
  inquire(request: CreateContainerRequest): Promise<Finding>;
  /** The runtime was answered without this finding, which may be `found` by now. */
  wasLate(request: ContainerOfPod, found?: Finding): void;
  /**
   * Is it still being found since the runtime was answered without it? Waiting for it again would cost the
   * runtime time for what it has waited for once.
   */
  isLate(request: ContainerOfPod): boolean;
  /**
   * What was found after the runtime had been answered, for its next question: kubelet asks again after ten
   * seconds and more, and would otherwise never hear more than that something is in progress.
   */
  foundLate(request: ContainerOfPod): Finding | undefined;
  /** A pod has become known: what was found without it counts no longer. */
  podKnown(container: ContainerOfPod): void;
};

const MAX_REMEMBERED = 10_000;
/** To look for a pod that does not exist takes longer than the runtime waits. */
const POD_UNKNOWN_MS = 60_000;
/** Some of kubelet's tries: each begins another inquiry, whose finding takes the place of this one. */
const REFUSED_LATE_MS = 60_000;
/** A record may be revoked meanwhile. */
const ALLOWED_LATE_MS = 20_000;

/** Kubelet asks again and again for one container; the verdict is looked for once at a time. */
export function createInquiries(judge: JudgeRequest): Inquiries {
  const underWay = new Map<string, Promise<Finding>>();
  const late = new Set<string>();
  const withoutPod = new LRUCache<string, Finding>({ max: MAX_REMEMBERED, ttl: POD_UNKNOWN_MS });
  const foundLate = new LRUCache<string, Finding>({ max: MAX_REMEMBERED, ttl: REFUSED_LATE_MS });

  function keep(key: string, finding: Finding): void {
    const { verdict, reason } = finding.access.verdict;
    if (reason === 'verificationInProgress') return;
    foundLate.set(key, finding, { ttl: verdict === 'allowed' ? ALLOWED_LATE_MS : REFUSED_LATE_MS });
  }

  async function find(key: string, request: CreateContainerRequest): Promise<Finding> {
    try {
      const finding = await judge(request);
      const { reason } = finding.access.verdict;
      if (reason === 'unmanagedPod' || reason === 'podUnknown') withoutPod.set(key, finding);
      else if (late.has(key)) keep(key, finding);
      else foundLate.delete(key);
      return finding;
    } finally {
      underWay.delete(key);
      late.delete(key);
    }
  }

  return {
    inquire(request) {
      const key = containerKey(request);
      const known = withoutPod.get(key);
      if (known) return Promise.resolve(known);
      const finding = underWay.get(key) ?? find(key, request);
      underWay.set(key, finding);
      return finding;
    },
    wasLate(request, found) {
      const key = containerKey(request);
      if (found) keep(key, found);
      else if (underWay.has(key)) late.add(key);
    },
    isLate: (request) => late.has(containerKey(request)),
    foundLate: (request) => foundLate.get(containerKey(request)),
    podKnown(container) {
      withoutPod.delete(containerKey(container));
    },
  };
}
