import { LRUCache } from 'lru-cache';
import PQueue from 'p-queue';
import type { AccessRequest } from '../../access/request.ts';
import type { Access } from '../../access/verifier.ts';
import type { ImageVolume, Pod, PodContainer } from '../../pods/pod-source.ts';
import type { Runtime } from '../../runtime/runtime.ts';
import { contentNamed } from '../judge-images.ts';
import type { Judgement } from '../judgement.ts';
import { type CreateRequest, containerKey, type PreparedContainer } from './create-request.ts';

/** What was found about a container before it exists. */
export type Judged = {
  readonly spec: Judgement['spec'];
  readonly kind: Judgement['kind'];
  /** Of the container's own image. */
  readonly ownImageRef: string;
  /** Of what the verdict is about. */
  readonly imageRef: string;
  readonly access: Access;
};

export type PreparationOptions = {
  readonly runtime: Pick<Runtime, 'imageStatus'>;
  readonly ensureAccess: (request: AccessRequest) => Promise<Access>;
  /** This container may be created without a question. */
  readonly onPrepared: (container: PreparedContainer) => void;
};

export type Preparation = {
  /** A pod was bound to the node: what it will ask for and is present already is judged before the question comes. */
  prepare(pod: Pod): void;
  /** What was found about a container that `onPrepared` told of; once. */
  take(container: Pick<CreateRequest, 'pod' | 'containerName'>): Judged | undefined;
};

const AT_ONCE = 2;
const MAX_PREPARED = 10_000;
/**
 * A tag may be pulled anew while kubelet prepares the sandbox, and a record be revoked: a verdict is good for what
 * that takes, as a rule, and no longer. Later the question is asked, which costs a few ms.
 */
const GOOD_FOR_MS = 10_000;

/** Judges what pods that were just bound will ask for, in parallel with kubelet's preparation of the sandbox. */
export function createPreparation({ runtime, ensureAccess, onPrepared }: PreparationOptions): Preparation {
  const queue = new PQueue({ concurrency: AT_ONCE });
  // Longer than anybody relies on them: word that a container was created takes a moment.
  const prepared = new LRUCache<string, Judged>({ max: MAX_PREPARED, ttl: 2 * GOOD_FOR_MS });

  async function prepareContainer(pod: Pod, container: PodContainer): Promise<void> {
    const image = await runtime.imageStatus(container.image);
    if (image === undefined) return;
    const access = await ensureAccess({ pod, container, imageRef: image.id, urgent: false });
    // One that is let run for the time being is to be followed; and of a volume's content nobody tells at creation.
    if (access.verdict.verdict !== 'allowed' || access.revision || container.imageVolumes.length > 0) return;
    const about = { pod, containerName: container.name };
    prepared.set(containerKey(about), {
      spec: container,
      kind: container.kind,
      ownImageRef: image.id,
      imageRef: image.id,
      access,
    });
    const { namespace, name, uid } = pod;
    const imageNames = [container.image, ...image.repoTags, ...image.repoDigests];
    onPrepared({
      pod: { namespace, name, uid },
      containerName: container.name,
      imageNames,
      forMs: GOOD_FOR_MS,
    });
  }

  async function prepareVolume(pod: Pod, volume: ImageVolume): Promise<void> {
    const imageRef = await contentNamed(runtime, volume.image);
    if (typeof imageRef === 'string') await ensureAccess({ pod, container: volume, imageRef, urgent: false });
  }

  /** What fails here, by whatever mistake, fails again when the question is asked, and is answered there. */
  function later(work: () => Promise<void>): void {
    void queue.add(() => work().catch(() => undefined));
  }

  return {
    prepare(pod) {
      for (const container of pod.containers) {
        // With Always kubelet pulls first.
        if (container.imagePullPolicy !== 'Always') later(() => prepareContainer(pod, container));
        for (const volume of container.imageVolumes) {
          if (volume.imagePullPolicy === 'IfNotPresent') later(() => prepareVolume(pod, volume));
        }
      }
    },
    take(container) {
      const key = containerKey(container);
      const judged = prepared.get(key);
      prepared.delete(key);
      return judged;
    },
  };
}
