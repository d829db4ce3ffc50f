import type { Verdict } from '../access/verdict.ts';
import type { Access } from '../access/verifier.ts';
import type { ContainerKind, PodContainer } from '../pods/pod-source.ts';
import type { Contents } from './handover.ts';

/** An image as the pod's spec has it: a container's own, or an image volume's. */
export type ImageInSpec = Pick<PodContainer, 'image' | 'imagePullPolicy'>;

/** What was found about a container's images; the verdict is the worst of theirs. */
export type Finding = {
  /** The image that the verdict is about; undefined for a container without a pod. */
  readonly spec: ImageInSpec | undefined;
  /** Undefined for a container without a pod. */
  readonly kind: ContainerKind | undefined;
  /** The content of just that image; empty where it is not known. */
  readonly imageRef: string;
  readonly contents: Contents;
  readonly access: Access;
};

/** About a container that has no pod, or that could not be looked at any further. */
export function findingWithoutPod(verdict: Verdict, doubt: Access['doubt'], imageRef: string): Finding {
  return {
    spec: undefined,
    kind: undefined,
    imageRef,
    contents: { own: imageRef, volumes: [] },
    access: { verdict, doubt },
  };
}
