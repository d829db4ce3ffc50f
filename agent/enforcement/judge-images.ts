import type { AccessRequest } from '../access/request.ts';
import type { StandingOfImages } from '../access/standing.ts';
import { type Doubt, isOfThePod, type Verdict } from '../access/verdict.ts';
import type { Access } from '../access/verifier.ts';
import type { ImageVolume } from '../pods/pod-source.ts';
import type { VolumeContent } from './content.ts';
import type { Finding, ImageInSpec } from './finding.ts';
import type { Contents } from './handover.ts';
import type { Owner } from './owner.ts';

export type EnsureAccess = (request: AccessRequest) => Promise<Access>;

/** Who gets the benefit of the doubt, from the records alone. */
export type DoubtOf = StandingOfImages['doubtOf'];

export type JudgeImages = {
  readonly ensureAccess: EnsureAccess;
  readonly doubtOf: DoubtOf;
  readonly volumeContent: VolumeContent;
  /** False for containers that ran before anyone asked. */
  readonly urgent: boolean;
};

/** One image of the container, judged. */
type Part = { readonly image: ImageInSpec; readonly imageRef: string; readonly access: Access };

/**
 * Judges all that a container brings to run: its own image, then the image volumes that it mounts. Kubelet
 * starts no container with a volume whose image it did not get (kuberuntime toKubeContainerImageVolumes), so
 * the worst counts.
 */
export async function judgeImages(
  { pod, spec }: Owner,
  own: string | Verdict,
  { ensureAccess, doubtOf, volumeContent, urgent }: JudgeImages,
): Promise<Finding> {
  async function judge(image: AccessRequest['container'], content: string | Verdict): Promise<Part> {
    if (typeof content === 'string') {
      const container = urgent ? image : provable(image);
      const access = await ensureAccess({ pod, container, imageRef: content, urgent });
      return { image, imageRef: content, access };
    }
    const doubt = doubtOf({ namespace: pod.namespace, imageRef: undefined, image: image.image });
    return { image, imageRef: '', access: { verdict: content, doubt } };
  }

  const parts: [Part, ...Part[]] = [await judge(spec, own)];
  for (const volume of spec.imageVolumes) {
    parts.push(ofVolume(volume, await judge(volume, await volumeContent(volume))));
  }
  const { image, imageRef } = worstOf(parts);
  return { spec: image, kind: spec.kind, imageRef, contents: contentsOf(parts), access: combine(parts) };
}

/**
 * Of a container that runs already, Never says nothing about its right: there was no record to write when it
 * was started, and it is the agent that has to find out.
 */
function provable(image: AccessRequest['container']): AccessRequest['container'] {
  return image.imagePullPolicy === 'Never' ? { ...image, imagePullPolicy: 'IfNotPresent' } : image;
}

function contentsOf([own, ...volumes]: readonly [Part, ...Part[]]): Contents {
  return {
    own: own.imageRef,
    volumes: volumes.map(({ image, imageRef }) => ({ image: image.image, imageRef })),
  };
}

function ofVolume({ name }: ImageVolume, { access, ...part }: Part): Part {
  const say = (verdict: Verdict): Verdict => ({
    ...verdict,
    message: `image volume ${name}: ${verdict.message}`,
  });
  const revision = access.revision?.then(say);
  return { ...part, access: { ...access, verdict: say(access.verdict), ...(revision && { revision }) } };
}

/** The worst verdict. Where all are allowed but some only for the time being, what comes of these counts. */
function combine(parts: readonly [Part, ...Part[]]): Access {
  const { verdict } = worstOf(parts).access;
  const open = parts.filter(({ access }) => access.verdict.verdict !== 'allowed' || access.revision);
  const doubt = weakestOf(open.map(({ access }) => access.doubt));
  const revisions = parts.flatMap(({ access }) => access.revision ?? []);
  if (verdict.verdict !== 'allowed' || revisions.length === 0) return { verdict, doubt };
  const revision = Promise.all(revisions).then((verdicts) =>
    verdicts.reduce((a, b) => (badnessOf(b) > badnessOf(a) ? b : a)),
  );
  return { verdict, doubt, revision };
}

/** The first of the worst. */
function worstOf(parts: readonly [Part, ...Part[]]): Part {
  return parts.reduce((a, b) => (badnessOf(b.access.verdict) > badnessOf(a.access.verdict) ? b : a));
}

/** An outage's leniency for one image must not cover what the pod brought along for another. */
const BADNESS = { allowed: 0, unverifiable: 1, ofThePod: 2, denied: 3 } as const;

function badnessOf(verdict: Verdict): number {
  return BADNESS[isOfThePod(verdict) ? 'ofThePod' : verdict.verdict];
}

const STRENGTH: Record<Doubt, number> = { none: 0, broughtByRegistry: 1, standing: 2 };

/** Standing for one image must not cover another that has none. */
function weakestOf(doubts: readonly Doubt[]): Doubt {
  const [first = 'none', ...others] = doubts;
  return others.reduce((a, b) => (STRENGTH[b] < STRENGTH[a] ? b : a), first);
}
