import { imageIdKey } from '../../image/image-id.ts';
import type { CreateContainerRequest } from '../../nri/messages.ts';
import type { Pod } from '../../pods/pod-source.ts';
import type { ImageNames } from '../../runtime/runtime.ts';
import type { Census } from '../census.ts';
import { type ContentOf, contentNamed } from '../content.ts';
import type { Finding } from '../finding.ts';
import type { Fuse } from '../fuse.ts';
import type { Handover } from '../handover.ts';
import type { Report } from '../judgement.ts';
import { endsWithin } from '../patience.ts';
import { type EnforcementSettings, planEnforcement, whyNotEnforced } from '../plan.ts';
import { IN_PROGRESS, refusalText } from '../tenant-message.ts';
import type { PreparedContainer } from './create-request.ts';
import { createInquiries } from './inquiries.ts';
import { createJudgeRequest, type JudgeRequestOptions } from './judge-request.ts';
import { createPreparation } from './preparation.ts';
import type { TimeBudget } from './time-budget.ts';
import { createVetoReports } from './veto-reports.ts';

export type VetoOptions = Omit<JudgeRequestOptions, 'contentOf'> & {
  readonly imageNames: ImageNames;
  readonly settings: EnforcementSettings;
  readonly fuse: Pick<Fuse, 'permits' | 'isOpen'>;
  readonly census: Pick<Census, 'withStanding'>;
  readonly handover: Pick<Handover, 'judgedByVeto' | 'isWithGuard'>;
  readonly budget: TimeBudget;
  /** Of every verdict that the veto acted on; what it leaves to the guard the guard reports. */
  readonly report: Report;
  /** A refusal that is not reported because the same one was before. */
  readonly onRefusedAgain: () => void;
  /** The verification was not over when the runtime had to be answered. */
  readonly onInProgress: () => void;
};

/** The container must not be created; the message is for kubelet and the tenant. */
export class ContainerRefused extends Error {
  override readonly name = 'ContainerRefused';
}

export type Veto = {
  /**
   * Resolves to allow the container, in time. Whoever asks answers by itself at `deadlineMs` (in ms of
   * `performance.now()`), and what comes later is not heard.
   *
   * @throws ContainerRefused
   */
  createContainer(request: CreateContainerRequest, deadlineMs: number): Promise<void>;
  /** A container that `onPrepared` was called with was created without an answer from here. */
  createdAsPrepared(request: CreateContainerRequest): void;
  /**
   * A pod was bound to the node: what it will ask for and is present already is judged before the question
   * comes.
   */
  prepare(pod: Pod): void;
  /** At the end: reports at once what is still to be reported. */
  flush(): void;
  /** Sets who is called with containers that may be created without a further question. */
  onPrepared(listener: (container: PreparedContainer) => void): void;
};

/** Every question ends as one of these. What is allowed without a final verdict is judged by the guard. */
type Answer = 'allow' | 'inProgress' | { readonly refuse: Finding };

/** Left of the asker's patience for the way back. */
const MARGIN_MS = 100;
/** For something newer than what was found too late for the last question; ms. */
const NEWER_FINDING_MS = 250;
/** For the content of a container whose verdict is late. */
const LATE_CONTENT_MS = 20;

/** Judges containers before they exist. */
export function createVeto(options: VetoOptions): Veto {
  const { settings, fuse, budget, imageNames } = options;
  const contentOf: ContentOf = async (image) => (await imageNames.imageStatus(image))?.id;
  const inquiries = createInquiries(createJudgeRequest({ ...options, contentOf }));
  const reports = createVetoReports(options);
  let onPrepared: (container: PreparedContainer) => void = () => undefined;
  const preparation = createPreparation({
    ...options,
    contentOf,
    onPrepared: (container) => onPrepared(container),
  });

  async function answer(question: CreateContainerRequest, deadlineMs: number): Promise<Answer> {
    const { namespace, uid: podUid } = question.pod;
    if (whyNotEnforced(settings, { namespace, podUid })) return 'allow';
    const started = performance.now();
    const untilDeadlineMs = Math.max(0, deadlineMs - MARGIN_MS - started);
    const before = inquiries.foundLate(question);
    const patienceMs = inquiries.isLate(question)
      ? 0
      : Math.min(
          budget.patienceMs(namespace, untilDeadlineMs, before !== undefined),
          before ? NEWER_FINDING_MS : untilDeadlineMs,
        );
    const finding = find(question);
    const isFound = await endsWithin(patienceMs, finding);
    const answered = performance.now();
    const found = isFound ? await finding : undefined;
    budget.spent(namespace, answered - started, found?.access.verdict.verdict === 'allowed');
    // Somebody else has answered by now.
    if (answered >= deadlineMs) {
      inquiries.wasLate(question, found);
      return 'allow';
    }
    if (found) return conclude(question, found, answered - started);
    inquiries.wasLate(question);
    if (before && (await stillHolds(question, before))) {
      return conclude(question, before, answered - started);
    }
    return late(question);
  }

  /** A refusal is for kubelet to ask about again; a right holds only for the content that was judged. */
  async function stillHolds(question: CreateContainerRequest, finding: Finding): Promise<boolean> {
    if (finding.access.verdict.verdict !== 'allowed') return true;
    // A volume's content may change until it is mounted.
    if (finding.access.revision || finding.contents.volumes.length > 0) return false;
    const isMeant = isStillMeant(question, finding);
    return (await endsWithin(LATE_CONTENT_MS, isMeant)) && isMeant;
  }

  async function find(question: CreateContainerRequest): Promise<Finding> {
    const prepared = preparation.take(question);
    return prepared && (await isStillMeant(question, prepared)) ? prepared : inquiries.inquire(question);
  }

  /** Does the image's name still mean what was judged? A tag may have been pulled anew meanwhile. */
  async function isStillMeant(
    { image }: CreateContainerRequest,
    { spec, contents }: Finding,
  ): Promise<boolean> {
    const content = await contentNamed(contentOf, image || (spec?.image ?? ''));
    return typeof content === 'string' && imageIdKey(content) === imageIdKey(contents.own);
  }

  function conclude(request: CreateContainerRequest, finding: Finding, durationMs: number): Answer {
    const { verdict, doubt } = finding.access;
    if (verdict.verdict === 'allowed') {
      concludeAllowed(request, finding, durationMs);
      return 'allow';
    }
    const { namespace, uid: podUid } = request.pod;
    const circumstances = { doubt, alreadyRuns: false };
    const plan = planEnforcement(settings, verdict, { namespace, podUid }, circumstances);
    if (plan?.action !== 'stop') return 'allow';
    const key = `${podUid}/${request.containerName}`;
    const subject = { namespace, key, hasStanding: doubt === 'standing' };
    if (!fuse.permits(subject, options.census.withStanding())) return 'allow';
    reports.refused(request, finding, durationMs);
    return { refuse: finding };
  }

  function concludeAllowed(request: CreateContainerRequest, finding: Finding, durationMs: number): void {
    // One that is let run only for the time being is for the guard to follow.
    if (finding.access.revision) return;
    if (!options.handover.judgedByVeto(request.id, finding.contents)) return;
    reports.allowed(request, finding, durationMs);
  }

  /**
   * Nobody waits any longer for the verdict. Kubelet asks again, unless the container gets the benefit of
   * the doubt.
   */
  async function late({ pod, image }: CreateContainerRequest): Promise<Answer> {
    const isLenient = settings.onUnverifiable === 'allow' || fuse.isOpen();
    if (!isLenient || image === '') return 'inProgress';
    const content = contentNamed(contentOf, image);
    if (!(await endsWithin(LATE_CONTENT_MS, content))) return 'inProgress';
    const imageRef = await content;
    if (typeof imageRef !== 'string') return 'inProgress';
    const { namespace, uid: podUid } = pod;
    const doubt = options.doubtOf({ namespace, imageRef, image: undefined });
    const circumstances = { doubt, alreadyRuns: false };
    const plan = planEnforcement(settings, IN_PROGRESS, { namespace, podUid }, circumstances);
    const isSpared = doubt === 'standing' && fuse.isOpen();
    return plan?.action !== 'stop' || isSpared ? 'allow' : 'inProgress';
  }

  return {
    async createContainer(request, deadlineMs) {
      const given = await answer(request, deadlineMs);
      if (given === 'allow') return;
      if (given === 'inProgress') {
        options.onInProgress();
        throw new ContainerRefused(refusalText(IN_PROGRESS, ''));
      }
      const { access, spec } = given.refuse;
      throw new ContainerRefused(refusalText(access.verdict, spec?.image ?? ''));
    },
    createdAsPrepared(request) {
      budget.created(request.pod.namespace);
      const finding = preparation.take(request);
      // Of another content the handover hears from the guard.
      if (finding) concludeAllowed(request, finding, 0);
    },
    prepare(pod) {
      for (const { name } of pod.containers) inquiries.podKnown({ pod, containerName: name });
      preparation.prepare(pod);
    },
    flush: reports.flush,
    onPrepared(listener) {
      onPrepared = listener;
    },
  };
}
