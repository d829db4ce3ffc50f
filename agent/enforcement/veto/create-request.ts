/** A container that the runtime is about to create. */
export type CreateRequest = {
  readonly id: string;
  readonly podSandboxId: string;
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly containerName: string;
  /**
   * Which image the runtime says it is; empty where it does not say. It may be another name of the same content than
   * the pod's own: good to find the content, not to judge by.
   */
  readonly image: string;
};

/** A container that was judged ahead and may be created: it need not be asked about. */
export type PreparedContainer = Pick<CreateRequest, 'pod' | 'containerName'> & {
  /** The names of the content that was judged; a runtime that names another means other content. */
  readonly imageNames: readonly string[];
  /** How long this may be relied on, in ms. */
  readonly forMs: number;
};

/** Uids and names hold no slash, and nothing is ever prepared for what is no pod's. */
export function containerKey({ pod, containerName }: Pick<CreateRequest, 'pod' | 'containerName'>): string {
  return `${pod.namespace}/${pod.name}/${pod.uid}/${containerName}`;
}
