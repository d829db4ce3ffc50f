/**
 * Where pods and their secrets come from. Field names are the Kubernetes API's. Implementations:
 * kubernetes/source.ts (the API server), directory/source.ts (a folder of manifests),
 * directory/static-pods.ts (kubelet's static pods), and combined.ts (API server and static pods together).
 */

export type PullPolicy = 'Always' | 'IfNotPresent' | 'Never';

/** From where kubelet has a pod, in the words of its annotation `kubernetes.io/config.source`. */
export type ConfigSource = 'api' | 'file' | 'http';

export type ContainerKind = 'container' | 'initContainer' | 'ephemeralContainer';

export type PodContainer = {
  readonly name: string;
  /** The text of the container's `image` field, untouched. */
  readonly image: string;
  readonly imagePullPolicy: PullPolicy;
  readonly kind: ContainerKind;
  /** The image volumes (`volumes[].image`, KEP-4639) that this container mounts. */
  readonly imageVolumes: readonly ImageVolume[];
};

/** A volume that is an image: kubelet pulls it as it does a container's. */
export type ImageVolume = {
  /** The volume's name. */
  readonly name: string;
  /** The text of `image.reference`, untouched. */
  readonly image: string;
  readonly imagePullPolicy: PullPolicy;
};

export type Pod = {
  readonly namespace: string;
  readonly name: string;
  /** The uid the runtime labels its containers with (for a static pod the static one, not its mirror's). */
  readonly uid: string;
  /** Empty for a static pod: it has none. */
  readonly serviceAccountName: string;
  /** Absent where the source cannot tell. */
  readonly configSource?: ConfigSource;
  /** Names of secrets in the pod's namespace, in the pod's order. */
  readonly imagePullSecrets: readonly string[];
  readonly containers: readonly PodContainer[];
  /** Present once the pod is being deleted, until its containers have ended. No verdict depends on it. */
  readonly termination?: Termination;
};

export type Termination = {
  /**
   * When the grace ends, epoch ms, by the API server's clock; kubelet hears of it, and begins, a moment
   * later.
   */
  readonly untilMs: number;
  /**
   * The whole of the grace, ms. Kubelet gives all of it again when it has to stop a container a second time.
   */
  readonly graceMs: number;
};

export type TerminatingPod = Pick<Pod, 'namespace' | 'name'> & Termination;

/** A Secret as the API gives it, `data` decoded from base64. Must never be logged or stored. */
export type Secret = {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Changes whenever the content does; equal means the same content. */
  readonly resourceVersion: string;
  readonly type: string;
  readonly data: ReadonlyMap<string, Buffer>;
  /**
   * performance.now() when its source was asked for it: the content is no older than this. One that was
   * cached is older than the question.
   */
  readonly readAtMs: number;
};

export type PodQuestion = {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly containerName?: string;
  /**
   * What the sandbox's annotation says, where it is known: static pods are not looked for among API pods'
   * names.
   */
  readonly configSource?: ConfigSource;
};

export interface PodSource {
  /**
   * Resolves once the first list is in, or after a while without it.
   *
   * @throws PodSourceError where there can never be one
   */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Undefined when in order, otherwise why pods or secrets may be missing or stale now; for /readyz. */
  problem(): string | undefined;
  /**
   * The pod of a container. Waits briefly for one that is not known yet, or has no such container yet
   * (`kubectl debug` adds one to a pod that runs).
   *
   * Undefined means that the source is alive and does not know this pod: of the API server, that the node's
   * pods are being watched, and that it was asked by name and has no pod with this uid (or that no pod could
   * have such a name). It never means that nobody could be asked.
   *
   * @throws PodSourceError apiServerUnavailable: the pod is not known, and the pods of the node are not
   * being watched
   */
  getPod(question: PodQuestion): Promise<Pod | undefined>;
  /**
   * A pod by its name, for the command line. Undefined as in `getPod`.
   *
   * @throws PodSourceError apiServerUnavailable
   */
  findPod(namespace: string, name: string): Promise<Pod | undefined>;
  /**
   * A secret; undefined when it does not exist. `fresh` reads it again from where it comes from: nobody is
   * denied on the word of a cached one. Without it, one may be a minute old, and a missing one counts as
   * missing for some seconds.
   *
   * @throws PodSourceError apiServerUnavailable, secretUnreadable: nobody can tell now
   */
  getSecret(namespace: string, name: string, read?: { readonly fresh: boolean }): Promise<Secret | undefined>;
  /** The pods of the node that are being terminated, as last heard of; undefined before the first listing. */
  terminating(): readonly TerminatingPod[] | undefined;
  /** Calls back whenever a pod or secret appears or changes; returns how to end it. */
  onChange(listener: () => void): () => void;
  /** Calls back with each pod that is new since `start` resolved; returns how to end it. */
  onPod(listener: (pod: Pod) => void): () => void;
}
