import { setTimeout as sleep } from 'node:timers/promises';
import PQueue from 'p-queue';
import type { AccessRequest } from '../access/request.ts';
import type { Verdict } from '../access/verdict.ts';
import type { Access } from '../access/verifier.ts';
import type { ContainerKind, PodContainer, PodSource } from '../pods/source.ts';
import type { Runtime, RuntimeContainer } from '../runtime/runtime.ts';
import { findSpec } from './find-spec.ts';
import { contentMountedBy, judgeImages } from './judge-images.ts';
import type { EnforcementAction, NotEnforced, StopOutcome, VetoOutcome } from './plan.ts';
import { createRetries } from './retries.ts';

/** All that is known when a container has been judged, and what was done about it. */
export type Judgement = {
  readonly container: RuntimeContainer;
  readonly preexisting: boolean;
  /** What the verdict is about: the container's image in its pod's spec, or an image volume's; none without a pod. */
  readonly spec: Pick<PodContainer, 'image' | 'imagePullPolicy'> | undefined;
  /** The content of just that. */
  readonly imageRef: string;
  /** Undefined for one of no known pod. */
  readonly kind: ContainerKind | undefined;
  readonly verdict: Verdict;
  /** From the container being seen to the verdict. */
  readonly durationMs: number;
};

export type Enforcement = {
  readonly action: EnforcementAction;
  readonly outcome: NotEnforced | StopOutcome | VetoOutcome;
};

export type JudgeOptions = {
  readonly pods: Pick<PodSource, 'getPod'>;
  readonly runtime: Pick<Runtime, 'imageStatus' | 'mountedImages'>;
  readonly ensureAccess: (request: AccessRequest) => Promise<Access>;
  /** Acts on a verdict; undefined for one that allows. */
  readonly enforce: (judgement: Judgement) => Promise<Enforcement | undefined>;
  /** Told of every verdict before it is enforced. */
  readonly onVerdict: (judgement: Judgement) => void;
  /** Told of every verdict once it has been acted on. */
  readonly onSettled: (judgement: Judgement, enforcement: Enforcement | undefined) => void;
  /** Containers that ran before the agent are judged after a random delay of up to this, in ms, ... */
  readonly existingContainersDelayMs: number;
  /** ... and this many at a time. */
  readonly existingContainersAtOnce: number;
};

export type Judge = {
  containerSeen(container: RuntimeContainer, seen: { readonly preexisting: boolean }): void;
  containerGone(id: string): void;
  /** Pods, secrets or the runtime came back or changed: what could not be told may be told now. */
  retryNow(): void;
  /** Containers whose verdict is being found, or will be tried again. */
  pending(): number;
  /** Resolves when nothing is being judged; what waits for a retry does not count. */
  idle(): Promise<void>;
  /** Begins nothing new and gives what is being judged this long (ms) to be enforced; later verdicts are dropped. */
  close(graceMs: number): Promise<void>;
};

/** Follows each container from being seen to a verdict that is enforced; tries again what could not be told. */
export function createJudge(options: JudgeOptions): Judge {
  const judging = new Set<Promise<void>>();
  const existing = new PQueue({ concurrency: options.existingContainersAtOnce });
  const delays = new Set<NodeJS.Timeout>();
  const alive = new Set<string>();
  const retries = createRetries<Subject>((subject) => run(() => judge(subject)));
  let closing = false;
  let closed = false;

  type Subject = { readonly container: RuntimeContainer; readonly preexisting: boolean };

  function run(work: () => Promise<void>): void {
    const running: Promise<void> = work().finally(() => judging.delete(running));
    judging.add(running);
  }

  async function judge(subject: Subject): Promise<void> {
    const { container, preexisting } = subject;
    const started = performance.now();
    const found = await findSpec(options.pods, container);
    const { spec, imageRef, access } =
      'verdict' in found
        ? { spec: undefined, imageRef: container.imageRef, access: { verdict: found } satisfies Access }
        : await judgeImages(found, container.imageRef, options.ensureAccess, {
            contentOf: contentMountedBy(options.runtime, container.id),
            urgent: !preexisting,
          });
    const kind = 'verdict' in found ? undefined : found.spec.kind;
    const settle = (verdict: Verdict): Promise<void> => {
      const durationMs = performance.now() - started;
      return conclude(subject, { container, preexisting, spec, kind, imageRef, verdict, durationMs });
    };
    await settle(access.verdict);
    if (access.revision) run(() => revise(subject, access.revision, settle));
  }

  /** A container that was let run for the time being: only what changes its verdict is worth a word. */
  async function revise(
    subject: Subject,
    revision: Promise<Verdict> | undefined,
    settle: (verdict: Verdict) => Promise<void>,
  ): Promise<void> {
    const verdict = await revision;
    if (verdict?.verdict === 'denied') await settle(verdict);
    else if (verdict?.verdict === 'unverifiable' && alive.has(subject.container.id) && !closing) {
      retries.later(subject.container.id, subject);
    }
  }

  async function conclude(subject: Subject, judgement: Judgement): Promise<void> {
    const { verdict, container } = judgement;
    if (closed) return;
    options.onVerdict(judgement);
    const enforcement = await options.enforce(judgement);
    options.onSettled(judgement, enforcement);

    const runsOn = enforcement?.action !== 'stop' && alive.has(container.id) && !closing;
    if (!runsOn) retries.settle(container.id);
    else if (verdict.verdict === 'unverifiable') retries.later(container.id, subject);
    else if (verdict.reason === 'unmanagedPod') retries.onChange(container.id, subject);
    else retries.settle(container.id);
  }

  return {
    containerSeen(container, { preexisting }) {
      if (closing) return;
      alive.add(container.id);
      if (!preexisting) return run(() => judge({ container, preexisting }));
      const timer = setTimeout(() => {
        delays.delete(timer);
        run(async () =>
          existing.add(() => (alive.has(container.id) ? judge({ container, preexisting }) : undefined)),
        );
      }, Math.random() * options.existingContainersDelayMs);
      delays.add(timer);
    },
    containerGone(id) {
      alive.delete(id);
      retries.settle(id);
    },
    retryNow() {
      retries.now();
    },
    pending() {
      return judging.size + delays.size + retries.size();
    },
    async idle() {
      while (judging.size > 0) await Promise.allSettled(judging);
    },
    async close(graceMs) {
      closing = true;
      for (const timer of delays) clearTimeout(timer);
      delays.clear();
      retries.close();
      existing.clear();
      const patience = new AbortController();
      const waited = sleep(graceMs, undefined, { signal: patience.signal }).catch(() => undefined);
      await Promise.race([Promise.allSettled(judging), waited]);
      patience.abort();
      closed = true;
    },
  };
}
