import { LRUCache } from 'lru-cache';
import { createFairQueue, type FairQueueOptions } from '../../fair-queue.ts';
import type { ImageVolume, Pod, PodContainer } from '../../pods/pod-source.ts';
import type { ImageNames } from '../../runtime/runtime.ts';
import { type ContentOf, contentNamed } from '../content.ts';
import type { Finding } from '../finding.ts';
import type { EnsureAccess } from '../judge-images.ts';
import { type ContainerOfPod, containerKey, type PreparedContainer } from './create-request.ts';

export type PreparationOptions = {
  readonly imageNames: ImageNames;
  readonly contentOf: ContentOf;
  readonly ensureAccess: EnsureAccess;
  /** This container may be created without a further question, see `PreparedContainer`. */
  readonly onPrepared: (container: PreparedContainer) => void;
};

export type Preparation = {
  /**
   * A pod was bound to the node: what it will ask for and is present already is judged before the question
   * comes.
   */
  prepare(pod: Pod): void;
  /**
   * What was found about a container that was prepared, once; undefined when nothing was, or too long ago.
   */
  take(container: ContainerOfPod): Finding | undefined;
};

/** What takes longer than a turn goes on: slow secrets and registries hold up nobody else's pods. */
const QUEUE: FairQueueOptions = { atOnce: 8, ofNamespace: 2, turnMs: 1_000 };
/** Images of one namespace that may wait; for more than these the runtime is simply answered later. */
const MAX_WAITING = 200;
const MAX_PREPARED = 10_000;
/** Of one image: what waits in the NRI thread is to fit there. Under another name its container is asked about. */
const MAX_NAMES = 10;
/**
 * A record may be revoked meanwhile: a verdict is good for about the time that kubelet takes to prepare a
 * sandbox.
 */
const GOOD_FOR_MS = 10_000;

/**
 * Judges what pods that were just bound will ask for, in parallel with kubelet's preparation of the sandbox.
 */
export function createPreparation(options: PreparationOptions): Preparation {
  const { imageNames, contentOf, ensureAccess, onPrepared } = options;
  const queue = createFairQueue(QUEUE);
  // Longer than anybody relies on them: the message that a container was created takes a moment.
  const prepared = new LRUCache<string, Finding>({ max: MAX_PREPARED, ttl: 2 * GOOD_FOR_MS });

  async function prepareContainer(pod: Pod, container: PodContainer): Promise<void> {
    const image = await imageNames.imageStatus(container.image);
    if (image === undefined) return;
    const access = await ensureAccess({ pod, container, imageRef: image.id, urgent: false });
    // One that is let run for the time being is to be followed; and a volume's content may change until it
    // is mounted.
    if (access.verdict.verdict !== 'allowed' || access.revision || container.imageVolumes.length > 0) return;
    const { namespace, name, uid } = pod;
    const about = { pod: { namespace, name, uid }, containerName: container.name };
    prepared.set(containerKey(about), {
      spec: container,
      kind: container.kind,
      imageRef: image.id,
      contents: { own: image.id, volumes: [] },
      access,
    });
    const names = [container.image, ...image.repoTags, ...image.repoDigests].slice(0, MAX_NAMES);
    const areNamesKept = imageNames.isKept(container.image, image);
    onPrepared({ ...about, imageNames: names, areNamesKept, forMs: GOOD_FOR_MS });
  }

  async function prepareVolume(pod: Pod, volume: ImageVolume): Promise<void> {
    const imageRef = await contentNamed(contentOf, volume.image);
    if (typeof imageRef === 'string') await ensureAccess({ pod, container: volume, imageRef, urgent: false });
  }

  /** What fails here, by whatever mistake, fails again when the question is asked, and is answered there. */
  function later(namespace: string, work: () => Promise<void>): void {
    if (queue.waiting(namespace) >= MAX_WAITING) return;
    void queue.run(namespace, () => work().catch(() => undefined));
  }

  return {
    prepare(pod) {
      for (const container of pod.containers) {
        // With Always kubelet pulls first.
        if (container.imagePullPolicy !== 'Always')
          later(pod.namespace, () => prepareContainer(pod, container));
        for (const volume of container.imageVolumes) {
          if (volume.imagePullPolicy === 'IfNotPresent')
            later(pod.namespace, () => prepareVolume(pod, volume));
        }
      }
    },
    take(container) {
      const key = containerKey(container);
      const finding = prepared.get(key);
      prepared.delete(key);
      return finding;
    },
  };
}
