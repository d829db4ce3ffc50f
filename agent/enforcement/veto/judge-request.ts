import { setTimeout as sleep } from 'node:timers/promises';
import { unverifiable, type Verdict } from '../../access/verdict.ts';
import { imageIdKey } from '../../image/image-id.ts';
import type { CreateContainerRequest } from '../../nri/messages.ts';
import type { PodSource } from '../../pods/pod-source.ts';
import { type ContentOf, contentNamed } from '../content.ts';
import { type Finding, findingWithoutPod } from '../finding.ts';
import { type DoubtOf, type EnsureAccess, judgeImages } from '../judge-images.ts';
import { type ConfigSourceOf, findOwner, type Owner } from '../owner.ts';
import { endsWithin } from '../patience.ts';
import { IN_PROGRESS, isNamedById } from '../tenant-message.ts';

export type JudgeRequestOptions = {
  readonly pods: Pick<PodSource, 'getPod'>;
  readonly configSourceOf: ConfigSourceOf;
  readonly contentOf: ContentOf;
  readonly ensureAccess: EnsureAccess;
  readonly doubtOf: DoubtOf;
};

/**
 * When a container is refused whose image is named by its id, in ms. Looking into an image that is present
 * takes longer than finding none, and must not tell who guesses ids which of them it was.
 */
const REFUSED_BY_ID_AFTER_MS = 50;

/** Finds the verdict on a container that does not exist yet. Never rejects. */
export type JudgeRequest = (request: CreateContainerRequest) => Promise<Finding>;

export function createJudgeRequest(options: JudgeRequestOptions): JudgeRequest {
  const { contentOf, doubtOf, ensureAccess } = options;

  async function judge(request: CreateContainerRequest): Promise<Finding> {
    const owner = await findOwner(options.pods, options.configSourceOf, request);
    if ('verdict' in owner) return withoutPod(request, owner);
    const { image } = owner.spec;
    const isNamedOtherwise = request.image !== '' && request.image !== image;
    const [own, said] = await Promise.all([
      contentNamed(contentOf, image),
      isNamedOtherwise ? contentNamed(contentOf, request.image) : undefined,
    ]);
    const finding = await (isNamedById(image) ? judgeById(owner, own) : judgeContent(owner, own));
    // The pod that we know may be older than the one that kubelet has: what is really about to run counts as
    // well.
    const isOther =
      typeof own === 'string' && typeof said === 'string' && imageIdKey(own) !== imageIdKey(said);
    return isOther && finding.access.verdict.verdict === 'allowed' ? judgeContent(owner, said) : finding;
  }

  function judgeContent(owner: Owner, content: string | Verdict): Promise<Finding> {
    return judgeImages(owner, content, {
      ensureAccess,
      doubtOf,
      volumeContent: ({ image }) => contentNamed(contentOf, image),
      urgent: true,
    });
  }

  /**
   * Whoever has a right to the image is allowed as soon as that is known. Everybody else hears the same at
   * the same moment, whether there is such an image or not; what comes of a verification that takes longer
   * counts next time.
   */
  async function judgeById({ pod, spec }: Owner, content: string | Verdict): Promise<Finding> {
    const judging = judgeContent({ pod, spec }, content);
    const over = sleep(REFUSED_BY_ID_AFTER_MS);
    const isFound = await endsWithin(REFUSED_BY_ID_AFTER_MS, judging);
    const finding = isFound ? await judging : undefined;
    if (finding?.access.verdict.verdict === 'allowed') return finding;
    await over;
    if (finding) return finding;
    const imageRef = typeof content === 'string' ? content : '';
    const doubt = doubtOf({ namespace: pod.namespace, imageRef, image: spec.image });
    return { ...findingWithoutPod(IN_PROGRESS, doubt, imageRef), spec, kind: spec.kind };
  }

  async function withoutPod({ pod, image }: CreateContainerRequest, verdict: Verdict): Promise<Finding> {
    const imageRef = image === '' ? undefined : await contentNamed(contentOf, image);
    if (typeof imageRef !== 'string') return findingWithoutPod(verdict, 'none', '');
    const doubt = doubtOf({ namespace: pod.namespace, imageRef, image: undefined });
    return findingWithoutPod(verdict, doubt, imageRef);
  }

  return (request) =>
    judge(request).catch((error: unknown) => {
      const verdict = unverifiable('internalError', error instanceof Error ? error.message : String(error));
      return findingWithoutPod(verdict, 'none', '');
    });
}
