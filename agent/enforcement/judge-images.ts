import type { AccessRequest } from '../access/request.ts';
import { isOfThePod, unverifiable, type Verdict } from '../access/verdict.ts';
import type { Access } from '../access/verifier.ts';
import { RuntimeError } from '../errors.ts';
import type { ImageVolume } from '../pods/pod-source.ts';
import type { MountedImage, Runtime } from '../runtime/runtime.ts';
import type { Spec } from './find-spec.ts';

type EnsureAccess = (request: AccessRequest) => Promise<Access>;

/** An image that a container brings to run, and what is said of it. */
export type JudgedImage = {
  /** As the pod's spec has it: the container's own, or an image volume's. */
  readonly spec: Pick<ImageVolume, 'image' | 'imagePullPolicy'>;
  /** Empty where the runtime could not tell. */
  readonly imageRef: string;
  readonly access: Access;
};

/** The content that an image volume has, or will have; a verdict where that cannot be told. */
export type ContentOf = (volume: ImageVolume) => Promise<string | Verdict>;

/**
 * Judges all that a container brings to run, its own image first, then the image volumes that it mounts: kubelet starts
 * no container with a volume whose image it did not get (kuberuntime toKubeContainerImageVolumes). The worst counts.
 */
export async function judgeImages(
  { pod, spec }: Spec,
  own: string | Verdict,
  ensureAccess: EnsureAccess,
  { contentOf, urgent }: { readonly contentOf: ContentOf; readonly urgent: boolean },
): Promise<JudgedImage> {
  async function judge(image: AccessRequest['container'], content: string | Verdict): Promise<JudgedImage> {
    if (typeof content !== 'string') return { spec: image, imageRef: '', access: { verdict: content } };
    const access = await ensureAccess({ pod, container: image, imageRef: content, urgent });
    return { spec: image, imageRef: content, access };
  }

  const judged: [JudgedImage, ...JudgedImage[]] = [await judge(spec, own)];
  for (const volume of spec.imageVolumes) {
    judged.push(ofVolume(volume, await judge(volume, await contentOf(volume))));
  }
  return worstOf(judged);
}

/** What a container that exists does mount, whatever its tag means now. */
export function contentMountedBy(
  runtime: Pick<Runtime, 'imageStatus' | 'mountedImages'>,
  id: string,
): ContentOf {
  let mounted: Promise<readonly MountedImage[]> | undefined;
  return (volume) =>
    orVerdict(async () => {
      mounted ??= runtime.mountedImages(id);
      const known = (await mounted).find(({ image }) => image === volume.image);
      return known?.imageRef ?? (await runtime.imageStatus(volume.image))?.id;
    });
}

/** What a name means to the runtime now: kubelet has just resolved it as well. */
export function contentNamed(
  runtime: Pick<Runtime, 'imageStatus'>,
  image: string,
): Promise<string | Verdict> {
  return orVerdict(async () => (await runtime.imageStatus(image))?.id);
}

async function orVerdict(find: () => Promise<string | undefined>): Promise<string | Verdict> {
  try {
    return (await find()) ?? unverifiable('imageNotPresent', 'the runtime does not have the image');
  } catch (error) {
    if (error instanceof RuntimeError) return unverifiable('runtimeUnavailable', error.message);
    throw error;
  }
}

function ofVolume({ name }: ImageVolume, { access, ...judged }: JudgedImage): JudgedImage {
  const say = (verdict: Verdict): Verdict => ({
    ...verdict,
    message: `image volume ${name}: ${verdict.message}`,
  });
  const revision = access.revision?.then(say);
  return { ...judged, access: { verdict: say(access.verdict), ...(revision && { revision }) } };
}

/** An outage's leniency for one image must not cover what the pod brought about for another. */
const BADNESS = { allowed: 0, unverifiable: 1, ofThePod: 2, denied: 3 } as const;

/** The first of the worst. Where all are allowed but some only for the time being, what comes of these counts. */
function worstOf(judged: readonly [JudgedImage, ...JudgedImage[]]): JudgedImage {
  const worst = judged.reduce((a, b) => (badnessOf(b.access.verdict) > badnessOf(a.access.verdict) ? b : a));
  const revisions = judged.flatMap(({ access }) => access.revision ?? []);
  if (worst.access.verdict.verdict !== 'allowed' || revisions.length === 0) {
    return { ...worst, access: { verdict: worst.access.verdict } };
  }
  const revision = Promise.all(revisions).then((verdicts) =>
    verdicts.reduce((a, b) => (badnessOf(b) > badnessOf(a) ? b : a)),
  );
  return { ...worst, access: { verdict: worst.access.verdict, revision } };
}

function badnessOf(verdict: Verdict): number {
  return BADNESS[isOfThePod(verdict) ? 'ofThePod' : verdict.verdict];
}
