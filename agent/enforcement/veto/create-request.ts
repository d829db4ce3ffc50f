import type { CreateContainerRequest } from '../../nri/messages.ts';

/** What of a request says which container of which pod it is about. */
export type ContainerOfPod = Pick<CreateContainerRequest, 'pod' | 'containerName'>;

/** A container that was judged ahead and may be created, also while the main thread does not answer. */
export type PreparedContainer = ContainerOfPod & {
  /** The names of the content that was judged; a runtime that names another means other content. */
  readonly imageNames: readonly string[];
  /** Do they mean that content for certain until `namesChanged`? Otherwise it is compared at the creation. */
  readonly areNamesKept: boolean;
  /** How long this may be relied on, in ms. */
  readonly forMs: number;
};

/** Uids and names hold no slash, and nothing is ever prepared for what is no pod's. */
export function containerKey({ pod, containerName }: ContainerOfPod): string {
  return `${pod.namespace}/${pod.name}/${pod.uid}/${containerName}`;
}
