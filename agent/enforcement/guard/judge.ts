import { setTimeout as sleep } from 'node:timers/promises';
import PQueue from 'p-queue';
import type { AccessRequest } from '../../access/request.ts';
import type { Verdict } from '../../access/verdict.ts';
import type { Access } from '../../access/verifier.ts';
import type { PodSource } from '../../pods/pod-source.ts';
import type { Runtime, RuntimeContainer } from '../../runtime/runtime.ts';
import { findSpec } from '../find-spec.ts';
import { contentMountedBy, judgeImages } from '../judge-images.ts';
import type { Enforcement, Judgement } from '../judgement.ts';
import { IN_PROGRESS } from '../tenant-message.ts';
import { createRetries } from './retries.ts';

export type JudgeOptions = {
  readonly pods: Pick<PodSource, 'getPod'>;
  readonly runtime: Pick<Runtime, 'imageStatus' | 'mountedImages'>;
  readonly ensureAccess: (request: AccessRequest) => Promise<Access>;
  /** Acts on a verdict; undefined for one that allows. */
  readonly enforce: (judgement: Judgement) => Promise<Enforcement | undefined>;
  /**
   * Told of a verdict before it is enforced. One that comes again for the same container with the same reason and the
   * same outcome is told to nobody: a tenant who makes it come again must not fill the log and the audit trail.
   */
  readonly onVerdict: (judgement: Judgement) => void;
  /** Told of the same verdicts once they have been acted on. */
  readonly onSettled: (judgement: Judgement, enforcement: Enforcement | undefined) => void;
  /** Containers that ran before the agent are judged after a random delay of up to this, in ms, ... */
  readonly existingContainersDelayMs: number;
  /** ... and this many at a time of each namespace, so that none holds up the others. */
  readonly existingContainersAtOnce: number;
  /** One that takes longer than this (ms) goes on, but no longer keeps the next one of its namespace waiting. */
  readonly existingContainerTurnMs?: number;
  /**
   * How long (ms) a new container may run while it is being verified: its pod chooses how many credentials are tried,
   * and how long the registry takes. Then it is told and enforced as `registryUnavailable`, verification in progress,
   * and the verification goes on. Where that stopped the container, what comes of it is not told: the record, or the
   * backoff of a refusal, is what the container finds that kubelet starts instead. Where the container may run on
   * (exempt, fuse open), it is told and enforced as another verdict on the same container. Undefined: for ever.
   */
  readonly patienceMs: number | undefined;
};

const TURN_MS = 5_000;

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

type Subject = { readonly container: RuntimeContainer; readonly preexisting: boolean };

/** Follows each container from being seen to a verdict that is enforced; tries again what could not be told. */
export function createJudge(options: JudgeOptions): Judge {
  const { existingContainerTurnMs: turnMs = TURN_MS, existingContainersAtOnce: concurrency } = options;
  const judging = new Set<Promise<void>>();
  const existing = new Map<string, PQueue>();
  const delays = new Set<NodeJS.Timeout>();
  /** The containers that there are, each with what was last told of it. */
  const alive = new Map<string, string | undefined>();
  const retries = createRetries<Subject>((subject) => void run(() => judge(subject)));
  let closing = false;
  let closed = false;

  function run(work: () => Promise<void>): Promise<void> {
    const running: Promise<void> = work().finally(() => judging.delete(running));
    judging.add(running);
    return running;
  }

  async function inQueueOf(namespace: string, subject: Subject): Promise<void> {
    const queue = existing.get(namespace) ?? new PQueue({ concurrency });
    existing.set(namespace, queue);
    // What is in the queue at the end is not cleared out of it: whoever waits for that would wait for ever.
    await queue.add(async () => {
      if (closing || !alive.has(subject.container.id)) return;
      await within(
        turnMs,
        run(() => judge(subject)),
      );
    });
    if (queue.size === 0 && queue.pending === 0 && existing.get(namespace) === queue)
      existing.delete(namespace);
  }

  async function judge(subject: Subject): Promise<void> {
    const { container, preexisting } = subject;
    const started = performance.now();
    const settle = (about: Pick<Judgement, 'spec' | 'kind' | 'imageRef' | 'verdict'>) =>
      conclude(subject, { container, preexisting, ...about, durationMs: performance.now() - started });
    const found = await findSpec(options.pods, container);
    if ('verdict' in found) {
      await settle({ spec: undefined, kind: undefined, imageRef: container.imageRef, verdict: found });
      return;
    }
    const { kind } = found.spec;
    const judging = judgeImages(found, container.imageRef, options.ensureAccess, {
      contentOf: contentMountedBy(options.runtime, container.id),
      urgent: !preexisting,
    });
    if (options.patienceMs !== undefined && !preexisting && !(await within(options.patienceMs, judging))) {
      const { imageRef } = container;
      const enforcement = await settle({ spec: found.spec, kind, imageRef, verdict: IN_PROGRESS });
      if (enforcement?.action === 'stop') {
        await judging;
        return;
      }
    }
    const { spec, imageRef, access } = await judging;
    await settle({ spec, kind, imageRef, verdict: access.verdict });
    if (!access.revision) return;
    void run(() =>
      revise(subject, access.revision, async (verdict) => {
        await settle({ spec, kind, imageRef, verdict });
      }),
    );
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

  async function conclude(subject: Subject, judgement: Judgement): Promise<Enforcement | undefined> {
    const { verdict, container } = judgement;
    if (closed) return undefined;
    const told = alive.get(container.id);
    const said = `${verdict.verdict} ${verdict.reason}: `;
    const isNews = told?.startsWith(said) !== true;
    if (isNews) options.onVerdict(judgement);
    const enforcement = await options.enforce(judgement);
    const now = `${said}${enforcement?.outcome ?? ''}`;
    if (!isNews && now !== told) options.onVerdict(judgement);
    if (now !== told) options.onSettled(judgement, enforcement);
    if (alive.has(container.id)) alive.set(container.id, now);

    const runsOn = enforcement?.action !== 'stop' && alive.has(container.id) && !closing;
    if (!runsOn) retries.settle(container.id);
    // It is being tried already.
    else if (verdict === IN_PROGRESS) return enforcement;
    else if (verdict.verdict === 'unverifiable') retries.later(container.id, subject);
    else if (verdict.reason === 'unmanagedPod') retries.onChange(container.id, subject);
    else retries.settle(container.id);
    return enforcement;
  }

  return {
    containerSeen(container, { preexisting }) {
      if (closing) return;
      alive.set(container.id, alive.get(container.id));
      if (!preexisting) {
        void run(() => judge({ container, preexisting }));
        return;
      }
      const timer = setTimeout(() => {
        delays.delete(timer);
        void run(() => inQueueOf(container.pod.namespace, { container, preexisting }));
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
      const patience = new AbortController();
      const waited = sleep(graceMs, undefined, { signal: patience.signal }).catch(() => undefined);
      await Promise.race([Promise.allSettled(judging), waited]);
      patience.abort();
      closed = true;
    },
  };
}

/** Is the work done within this many ms? It goes on either way. */
async function within(ms: number, work: Promise<unknown>): Promise<boolean> {
  const patience = new AbortController();
  const over = sleep(ms, false, { signal: patience.signal }).catch(() => false);
  try {
    return await Promise.race([work.then(() => true), over]);
  } finally {
    patience.abort();
  }
}
