import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { AccessRequest } from '../../access/request.ts';
import { unverifiable, type Verdict } from '../../access/verdict.ts';
import type { Access } from '../../access/verifier.ts';
import { imageIdKey } from '../../image/image-id.ts';
import type { Pod, PodSource } from '../../pods/pod-source.ts';
import type { Runtime, RuntimeContainer } from '../../runtime/runtime.ts';
import { findSpec } from '../find-spec.ts';
import type { Fuse } from '../fuse.ts';
import { contentNamed, judgeImages } from '../judge-images.ts';
import type { Enforcement, Judgement } from '../judgement.ts';
import { type EnforcementSettings, planEnforcement } from '../plan.ts';
import { IN_PROGRESS, refusalText } from '../tenant-message.ts';
import { type CreateRequest, containerKey, type PreparedContainer } from './create-request.ts';
import { planVeto, type VetoPlan } from './plan-veto.ts';
import { createPreparation, type Judged } from './preparation.ts';

/** A question of the runtime's. */
export type CreateQuestion = CreateRequest & {
  /** Whoever asks answers by itself then, and what comes later is not heard; in ms of `performance.now()`. */
  readonly deadlineMs: number;
};

export type VetoOptions = {
  readonly pods: Pick<PodSource, 'getPod'>;
  readonly runtime: Pick<Runtime, 'imageStatus'>;
  readonly ensureAccess: (request: AccessRequest) => Promise<Access>;
  readonly settings: EnforcementSettings;
  readonly fuse: Fuse;
  readonly containersOnNode: () => number;
  /**
   * Told of every verdict that the veto acted on; what it leaves to the guard is the guard's to tell. Kubelet tries a
   * container that was refused again every ten seconds or so: the same refusal is told once in five minutes.
   */
  readonly onJudged: (judgement: Judgement, enforcement: Enforcement | undefined) => void;
  /** A refusal that is not told because it was before. */
  readonly onRefusedAgain: () => void;
  /** The verification was not over when the runtime had to be answered. */
  readonly onInProgress: () => void;
};

/** The container must not be created; the message is for kubelet and the tenant. */
export class ContainerRefused extends Error {
  override readonly name = 'ContainerRefused';
}

export type Veto = {
  /** Resolves to let the container be created, in time. @throws ContainerRefused */
  createContainer(question: CreateQuestion): Promise<void>;
  /** A container that `onPrepared` told of is being created. */
  createdAsPrepared(request: CreateRequest): void;
  /** Was this container created with a verdict on just this content? Then the guard need not judge it again. */
  hasJudged(containerId: string, imageRef: string): boolean;
  /** A pod was bound to the node: what it will ask for and is present already is judged before the question comes. */
  prepare(pod: Pod): void;
  /** At the end: tells at once of what is still to be told. */
  flush(): void;
  /** Sets who is told of containers that need not be asked about; until then nobody is, and every one is asked about. */
  onPrepared(listener: (container: PreparedContainer) => void): void;
};

/** Left of the asker's patience for the way back. */
const MARGIN_MS = 100;
const MAX_REMEMBERED = 10_000;
/** In the place of an image id. */
const LEFT_TO_GUARD = 'left to the guard';
const REPORT_AFTER_MS = 100;
const TELL_REFUSAL_AGAIN_MS = 300_000;
/** Enough to look up what is on record. */
const LATE_PATIENCE_MS = 50;

type Asking = {
  readonly namespace: string;
  readonly result: Promise<Judged>;
  /** The runtime was answered without it once. */
  isLate: boolean;
};

/**
 * Judges containers before they exist. Whatever it cannot settle, or must not refuse, it lets by: the guard (the
 * container watch) judges everything that was created without a word from here.
 */
export function createVeto(options: VetoOptions): Veto {
  const { settings, runtime } = options;
  /** A question that is asked again while it is being answered waits for the same answer. */
  const inFlight = new Map<string, Asking>();
  const judged = new LRUCache<string, string>({ max: MAX_REMEMBERED });
  /** Whose pod was looked for in vain: the search takes longer than the runtime waits, so its end is remembered. */
  const unmanaged = new LRUCache<string, Judged>({ max: MAX_REMEMBERED, ttl: 60_000 });
  /** Reasons of refusals, by container of a pod. */
  const toldRefusals = new LRUCache<string, string>({ max: MAX_REMEMBERED, ttl: TELL_REFUSAL_AGAIN_MS });
  const reports = new Map<NodeJS.Timeout, () => void>();
  let tellPrepared: (container: PreparedContainer) => void = () => undefined;
  const preparation = createPreparation({
    runtime,
    ensureAccess: options.ensureAccess,
    onPrepared: (container) => tellPrepared(container),
  });

  async function judge(request: CreateRequest): Promise<Judged> {
    const found = await findSpec(options.pods, request);
    if ('verdict' in found) return withoutSpec(found);
    const { image, kind } = found.spec;
    const isNamedOtherwise = request.image !== '' && request.image !== image;
    const [own, said] = await Promise.all([
      contentNamed(runtime, image),
      isNamedOtherwise ? contentNamed(runtime, request.image) : undefined,
    ]);
    const judgeContent = async (content: string | Verdict): Promise<Judged> => {
      const judgedImage = await judgeImages(found, content, options.ensureAccess, {
        contentOf: (volume) => contentNamed(runtime, volume.image),
        urgent: true,
      });
      return { ...judgedImage, kind, ownImageRef: typeof content === 'string' ? content : '' };
    };
    const result = await judgeContent(own);
    // The pod that we know may be older than the one that kubelet has: what it really is about to run counts as well.
    const isOther =
      typeof own === 'string' && typeof said === 'string' && imageIdKey(own) !== imageIdKey(said);
    return isOther && result.access.verdict.verdict === 'allowed' ? judgeContent(said) : result;
  }

  function ask(request: CreateRequest): Asking {
    const key = containerKey(request);
    const { namespace } = request.pod;
    const known = unmanaged.get(key);
    if (known) return { namespace, result: Promise.resolve(known), isLate: false };
    const running = inFlight.get(key);
    if (running) return running;
    const result = judge(request)
      .catch((error: unknown) => brokenBy(error))
      .then((found) => {
        if (found.access.verdict.reason === 'unmanagedPod') unmanaged.set(key, found);
        return found;
      })
      .finally(() => inFlight.delete(key));
    const asking = { namespace, result, isLate: false };
    inFlight.set(key, asking);
    return asking;
  }

  /**
   * How long an answer may take, in ms. The runtime asks one thing at a time and creates no other container meanwhile,
   * so that a namespace whose registry does not answer would hold up the whole node with each of its containers.
   */
  function patienceFor({ pod, deadlineMs }: CreateQuestion, plan: VetoPlan): number {
    const untilDeadlineMs = Math.max(0, deadlineMs - MARGIN_MS - performance.now());
    // What would be let by is not asked again, so that this is the one chance to refuse it.
    if (plan !== 'judgeOrRefuse') return untilDeadlineMs;
    const isLate = [...inFlight.values()].some(
      (asking) => asking.isLate && asking.namespace === pod.namespace,
    );
    return isLate ? Math.min(untilDeadlineMs, LATE_PATIENCE_MS) : untilDeadlineMs;
  }

  /** Undefined when the runtime cannot wait for it. */
  async function inTime(asking: Asking, waitMs: number): Promise<Judged | undefined> {
    const patience = new AbortController();
    const over = sleep(waitMs, undefined, { signal: patience.signal }).catch(() => undefined);
    try {
      const answer = await Promise.race([asking.result, over]);
      if (answer === undefined) asking.isLate = true;
      return answer;
    } finally {
      patience.abort();
    }
  }

  function later(report: () => void): void {
    const timer = setTimeout(() => {
      reports.delete(timer);
      report();
    }, REPORT_AFTER_MS).unref();
    reports.set(timer, report);
  }

  /** @throws ContainerRefused */
  function conclude(request: CreateRequest, result: Judged, durationMs: number): void {
    const { spec, kind, ownImageRef, imageRef, access } = result;
    const { verdict } = access;
    const { namespace, uid } = request.pod;
    const judgement = {
      container: containerOf(request, ownImageRef),
      preexisting: false,
      spec,
      kind,
      imageRef,
      verdict,
      durationMs,
    };
    // The runtime creates the container meanwhile: writes to the log and the audit trail would be in its way.
    const report = (enforcement: Enforcement | undefined) =>
      later(() => options.onJudged(judgement, enforcement));
    const plan = planEnforcement(settings, verdict, { namespace, podUid: uid, preexisting: false });
    if (plan === undefined) {
      // One that is let run only for the time being is the guard's to follow.
      if (access.revision) return;
      // The guard has seen the container by now and judges it.
      if (judged.has(request.id)) return;
      toldRefusals.delete(containerKey(request));
      judged.set(request.id, imageIdKey(ownImageRef));
      report(undefined);
      return;
    }
    if (plan.action === 'none') return;
    const key = `${uid}/${request.containerName}`;
    if (!options.fuse.permits({ namespace, key }, options.containersOnNode())) return;
    if (toldRefusals.get(containerKey(request)) === verdict.reason) options.onRefusedAgain();
    else {
      toldRefusals.set(containerKey(request), verdict.reason);
      report({ action: 'veto', outcome: 'refused' });
    }
    throw new ContainerRefused(refusalText(verdict, spec?.image ?? ''));
  }

  return {
    async createContainer(question) {
      const plan = planVeto(settings, question.pod);
      if (plan === 'letBy') return;
      const started = performance.now();
      const waitMs = patienceFor(question, plan);
      const answer = await inTime(ask(question), waitMs);
      const answered = performance.now();
      if (answered >= question.deadlineMs) return;
      if (answer === undefined) {
        if (plan === 'judgeOrLetBy' || options.fuse.isOpen()) return;
        options.onInProgress();
        throw new ContainerRefused(refusalText(IN_PROGRESS, ''));
      }
      conclude(question, answer, answered - started);
    },
    hasJudged(containerId, imageRef) {
      const known = judged.get(containerId);
      if (known === undefined) judged.set(containerId, LEFT_TO_GUARD);
      return known === imageIdKey(imageRef);
    },
    createdAsPrepared(request) {
      const found = preparation.take(request);
      if (found) conclude(request, found, 0);
    },
    prepare: preparation.prepare,
    flush() {
      for (const [timer, report] of reports) {
        clearTimeout(timer);
        report();
      }
      reports.clear();
    },
    onPrepared(listener) {
      tellPrepared = listener;
    },
  };
}

function brokenBy(error: unknown): Judged {
  return withoutSpec(unverifiable('internalError', error instanceof Error ? error.message : String(error)));
}

function withoutSpec(verdict: Verdict): Judged {
  return { spec: undefined, kind: undefined, ownImageRef: '', imageRef: '', access: { verdict } };
}

function containerOf(
  { id, podSandboxId, pod, containerName }: CreateRequest,
  imageRef: string,
): RuntimeContainer {
  const createdAt = BigInt(Date.now()) * 1_000_000n;
  return { id, podSandboxId, pod, containerName, imageRef, state: 'created', createdAt, attempt: 0 };
}
