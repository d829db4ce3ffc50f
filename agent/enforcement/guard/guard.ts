import type { Verdict } from '../../access/verdict.ts';
import { isSameImageId } from '../../image/image-id.ts';
import type { PodSource } from '../../pods/pod-source.ts';
import type { Runtime, RuntimeContainer } from '../../runtime/runtime.ts';
import type { Census } from '../census.ts';
import { contentMountedBy } from '../content.ts';
import { type Finding, findingWithoutPod } from '../finding.ts';
import type { Handover } from '../handover.ts';
import { type DoubtOf, type EnsureAccess, judgeImages } from '../judge-images.ts';
import type { Enforcement, Judgement, Report } from '../judgement.ts';
import { type ConfigSourceOf, findOwner, type Owner } from '../owner.ts';
import { endsWithin } from '../patience.ts';
import { IN_PROGRESS } from '../tenant-message.ts';
import type { Enforcer } from './enforcer.ts';
import { createExistingContainers, type ExistingContainersOptions } from './existing-containers.ts';
import { createLastReports } from './last-reports.ts';
import { createRetries } from './retries.ts';
import type { EntitlementState, Running } from './reverification.ts';

export type GuardOptions = {
  readonly pods: Pick<PodSource, 'getPod'>;
  readonly configSourceOf: ConfigSourceOf;
  readonly runtime: Pick<Runtime, 'imageStatus' | 'mountedImages'>;
  readonly ensureAccess: EnsureAccess;
  /** Asks again about a container that runs, whatever is on record. */
  readonly reverify: EnsureAccess;
  readonly doubtOf: DoubtOf;
  readonly handover: Pick<Handover, 'claimForGuard'>;
  readonly census: Pick<Census, 'seen' | 'gone'>;
  readonly enforce: Enforcer;
  readonly report: Report;
  /** How containers that ran before the agent are judged. */
  readonly existing: ExistingContainersOptions;
  /**
   * How long (ms) a new container may run while it is being verified: its pod chooses how many credentials
   * are tried, and how long the registry takes. Then it is reported and enforced as `verificationInProgress`,
   * and the verification goes on. When that stopped the container, the outcome is not reported: the container
   * that kubelet starts instead finds it, as a record or as a refusal's backoff. When the container may run
   * on (exempt, fuse open), the outcome is reported and enforced as another verdict on the same container.
   * Undefined: for ever.
   */
  readonly patienceMs: number | undefined;
};

/** Behind the veto: judges every container that was created without a final verdict on just what it uses. */
export type Guard = {
  containerSeen(container: RuntimeContainer, seen: { readonly preexisting: boolean }): void;
  containerGone(id: string): void;
  /** Pods, secrets or the runtime came back or changed: what was unverifiable may be verified now. */
  retryNow(): void;
  /** The fuse has closed: what it let run is judged again. */
  fuseClosed(): void;
  /** What a verdict rested on has changed: the containers that it was about are judged again. */
  judgeAgain(which: ToJudgeAgain): void;
  /** What has been left running. */
  running(): readonly Running[];
  /** Asks again about a container that runs; what the registry refuses it now is reported and enforced. */
  reverify(id: string): Promise<EntitlementState | undefined>;
  /** Containers whose verdict is being found, or will be tried again. */
  pending(): number;
  /** Resolves when nothing is being judged; what waits for a retry does not count. */
  idle(): Promise<void>;
  /**
   * Begins nothing new and gives what is being judged this long (ms) to be enforced; later verdicts are
   * dropped.
   */
  close(graceMs: number): Promise<void>;
};

/** The containers of a pod, or those that use one of these contents. */
export type ToJudgeAgain = { readonly podUid: string } | { readonly imageRefs: readonly string[] };

type Subject = { readonly container: RuntimeContainer; readonly preexisting: boolean };

/**
 * Follows each container from being seen to a verdict that is enforced; tries again what was unverifiable.
 */
export function createGuard(options: GuardOptions): Guard {
  const { runtime, handover, ensureAccess, doubtOf } = options;
  const judging = new Set<Promise<void>>();
  const reports = createLastReports(options.report);
  const existing = createExistingContainers(options.existing);
  const retries = createRetries<Subject>((subject) => run(() => judge(subject)));
  /** The containers that there are, by id. */
  const present = new Map<string, Subject>();
  /** Those of them that have been left running so far. */
  const leftRunning = new Set<string>();
  /** Those of them that the registry refused when it was asked again. */
  const refusedSince = new Set<string>();
  /** Those of them that the open fuse let run. */
  const spared = new Map<string, Subject>();
  let closing = false;
  let closed = false;

  function run(work: () => Promise<void>): Promise<void> {
    const running: Promise<void> = work().finally(() => judging.delete(running));
    judging.add(running);
    return running;
  }

  function judgeInTurn(subject: Subject): void {
    const { id, pod } = subject.container;
    existing.add(pod.namespace, async () => {
      if (present.has(id)) await run(() => judge(subject));
    });
  }

  async function judgeUnlessVetoDid(subject: Subject): Promise<void> {
    const { id, imageRef } = subject.container;
    const mountedImages = () => runtime.mountedImages(id);
    const claim = await handover.claimForGuard({ id, imageRef, mountedImages });
    if (claim === 'guardJudges') await judge(subject);
    else leftRunning.add(id);
  }

  function ownerOf(container: RuntimeContainer): Promise<Owner | Verdict> {
    return findOwner(options.pods, options.configSourceOf, { ...container, image: container.imageRef });
  }

  async function judge(subject: Subject): Promise<void> {
    const { container } = subject;
    const started = performance.now();
    const owner = await ownerOf(container);
    if ('verdict' in owner) {
      const { namespace } = container.pod;
      const doubt = doubtOf({ namespace, imageRef: container.imageRef, image: undefined });
      await conclude(subject, findingWithoutPod(owner, doubt, container.imageRef), started);
      return;
    }
    const judgingImages = judgeImages(owner, container.imageRef, {
      ensureAccess,
      doubtOf,
      volumeContent: contentMountedBy(runtime, container.id),
      urgent: !subject.preexisting,
    });
    if (await isStoppedMeanwhile(subject, owner, judgingImages, started)) {
      await judgingImages;
      return;
    }
    const finding = await judgingImages;
    await conclude(subject, finding, started);
    const { revision } = finding.access;
    if (revision) void run(async () => revise(subject, finding, await revision, started));
  }

  /** True when the container was stopped because its verification takes too long. */
  async function isStoppedMeanwhile(
    subject: Subject,
    { pod, spec }: Owner,
    judgingImages: Promise<Finding>,
    started: number,
  ): Promise<boolean> {
    const { patienceMs } = options;
    if (patienceMs === undefined || subject.preexisting) return false;
    if (await endsWithin(patienceMs, judgingImages)) return false;
    const { imageRef } = subject.container;
    const doubt = doubtOf({ namespace: pod.namespace, imageRef, image: spec.image });
    // An agent that ends has less time than it promised: what was granted before is left to the next one.
    if (closing && doubt === 'standing') return false;
    const finding = findingWithoutPod(IN_PROGRESS, doubt, imageRef);
    const enforcement = await conclude(subject, { ...finding, spec, kind: spec.kind }, started);
    return enforcement?.action === 'stop';
  }

  /** The container was let run for the time being: only what changes its verdict is reported. */
  async function revise(
    subject: Subject,
    finding: Finding,
    verdict: Verdict,
    started: number,
  ): Promise<void> {
    const { id } = subject.container;
    if (verdict.verdict === 'denied') {
      await conclude(subject, { ...finding, access: { ...finding.access, verdict } }, started);
    } else if (verdict.verdict === 'unverifiable' && present.has(id) && !closing) {
      retries.later(id, subject);
    }
  }

  async function conclude(
    subject: Subject,
    { spec, kind, imageRef, access }: Finding,
    started: number,
    reverified = false,
  ): Promise<Enforcement | undefined> {
    if (closed) return undefined;
    const { container, preexisting } = subject;
    const { verdict, doubt } = access;
    const durationMs = performance.now() - started;
    const judgement: Judgement = {
      ...{ container, preexisting, spec, kind, imageRef },
      ...{ verdict, doubt, durationMs },
    };
    const alreadyRuns = preexisting || leftRunning.has(container.id);
    const enforcement = await reports.enforceAndReport(judgement, () =>
      options.enforce(judgement, { alreadyRuns, reverified }),
    );
    planRetry(subject, verdict, enforcement);
    return enforcement;
  }

  async function reverify(subject: Subject): Promise<EntitlementState | undefined> {
    const { container } = subject;
    const started = performance.now();
    const owner = await ownerOf(container);
    if ('verdict' in owner) return 'unverifiable';
    const finding = await judgeImages(owner, container.imageRef, {
      ensureAccess: options.reverify,
      doubtOf,
      volumeContent: contentMountedBy(runtime, container.id),
      urgent: false,
    });
    if (!present.has(container.id)) return undefined;
    const { verdict } = finding.access.verdict;
    // An outage takes nothing away, and what is still granted is no news.
    if (verdict === 'unverifiable') return verdict;
    const isNews = verdict === 'denied' || refusedSince.delete(container.id);
    if (isNews) await conclude(subject, finding, started, true);
    if (verdict === 'allowed') return 'granted';
    refusedSince.add(container.id);
    return 'refused';
  }

  function planRetry(subject: Subject, verdict: Verdict, enforcement: Enforcement | undefined): void {
    const { id } = subject.container;
    const mayRun = enforcement?.action !== 'stop' && present.has(id) && !closing;
    if (mayRun) leftRunning.add(id);
    else leftRunning.delete(id);
    if (mayRun && enforcement?.outcome === 'fuseOpen') spared.set(id, subject);
    else spared.delete(id);
    // The verification that is in progress goes on by itself.
    if (mayRun && verdict.reason === 'verificationInProgress') return;
    if (mayRun && verdict.verdict === 'unverifiable') retries.later(id, subject);
    else if (mayRun && isWithoutPod(verdict)) retries.onChange(id, subject);
    else retries.forget(id);
  }

  return {
    containerSeen(container, { preexisting }) {
      if (closing) return;
      const subject = { container, preexisting };
      present.set(container.id, subject);
      reports.begin(container.id);
      options.census.seen(container);
      if (preexisting) judgeInTurn(subject);
      else void run(() => judgeUnlessVetoDid(subject));
    },
    containerGone(id) {
      present.delete(id);
      leftRunning.delete(id);
      refusedSince.delete(id);
      reports.forget(id);
      options.census.gone(id);
      retries.forget(id);
      spared.delete(id);
    },
    retryNow() {
      retries.now();
    },
    fuseClosed() {
      if (closing) return;
      const again = [...spared.values()];
      spared.clear();
      for (const subject of again) {
        retries.forget(subject.container.id);
        judgeInTurn(subject);
      }
    },
    judgeAgain(which) {
      if (closing) return;
      for (const subject of present.values()) {
        if (!isAbout(which, subject.container)) continue;
        retries.forget(subject.container.id);
        void run(() => judge(subject));
      }
    },
    running: () =>
      [...leftRunning].flatMap((id) => {
        const container = present.get(id)?.container;
        return container ? [{ id, imageRef: container.imageRef }] : [];
      }),
    async reverify(id) {
      const subject = present.get(id);
      if (subject === undefined || !leftRunning.has(id) || closing) return undefined;
      let state: EntitlementState | undefined;
      await run(async () => {
        state = await reverify(subject);
      });
      return state;
    },
    pending: () => judging.size + existing.size() + retries.size(),
    async idle() {
      while (judging.size > 0) await Promise.allSettled(judging);
    },
    async close(graceMs) {
      closing = true;
      existing.close();
      retries.close();
      await endsWithin(graceMs, Promise.allSettled(judging));
      closed = true;
    },
  };
}

function isWithoutPod({ reason }: Verdict): boolean {
  return reason === 'unmanagedPod' || reason === 'podUnknown';
}

function isAbout(which: ToJudgeAgain, { pod, imageRef }: RuntimeContainer): boolean {
  if ('podUid' in which) return pod.uid === which.podUid;
  return which.imageRefs.some((other) => isSameImageId(other, imageRef));
}
