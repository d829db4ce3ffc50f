/**
 * The container runtime as the rest of the agent sees it: the part of CRI v1 (package runtime.v1) that
 * judging a container needs. Field and method names are CRI's.
 */

/** CRI `Image`. */
export type RuntimeImage = {
  /** The runtime's image id, as it writes it: `sha256:<hex>` on containerd, `<hex>` on CRI-O. Kubelet's imageRef. */
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  readonly pinned: boolean;
};

export type ContainerState = 'created' | 'running' | 'exited' | 'unknown';

/** A container that is not a sandbox, as ListContainers gives it. */
export type RuntimeContainer = {
  readonly id: string;
  readonly podSandboxId: string;
  readonly state: ContainerState;
  /** Nanoseconds since the epoch. */
  readonly createdAt: bigint;
  /** The image id of the content this container was created from, not of what its tag means now. */
  readonly imageRef: string;
  /** From the label io.kubernetes.container.name; empty where it is missing. */
  readonly containerName: string;
  /** From the labels io.kubernetes.pod.*; empty strings where they are missing. */
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
  /** CRI ContainerMetadata.attempt: how often the pod has restarted this container. */
  readonly attempt: number;
};

/** An image that a container mounts as a volume. */
export type MountedImage = {
  /** The name it was asked for by; empty where the runtime does not tell. */
  readonly image: string;
  readonly imageRef: string;
};

/** What a registry credential looks like on the wire (CRI AuthConfig). Must never be logged or stored. */
export type RegistryAuth = { readonly username: string; readonly password: string };

/**
 * How PullImage ended. `refused`: the registry did not grant it. `notFound`: it has no such manifest or repository
 * for these credentials. `unavailable`: it could not be asked. `invalid`: the runtime does not accept the name.
 * `unknown`: an error that no row of the table knows; never a permission. `message` is free of credentials.
 */
export type PullOutcome =
  | { readonly outcome: 'pulled'; readonly imageRef: string }
  | {
      readonly outcome: 'refused' | 'notFound' | 'unavailable' | 'invalid' | 'unknown';
      readonly message: string;
    }
  | { readonly outcome: 'runtimeUnavailable'; readonly message: string };

export type RuntimeVersion = { readonly name: string; readonly version: string; readonly apiVersion: string };

/** Calls to the runtime. All but pullImage throw `RuntimeError`. Every call has a deadline. */
export interface Runtime {
  version(): Promise<RuntimeVersion>;
  listImages(): Promise<readonly RuntimeImage[]>;
  /** The image by name, digest or id; undefined when it is not present. */
  imageStatus(image: string): Promise<RuntimeImage | undefined>;
  /** Asks the runtime to pull; never throws. `timeoutMs` bounds the whole pull. */
  pullImage(image: string, auth: RegistryAuth | undefined, timeoutMs: number): Promise<PullOutcome>;
  /** All containers (not sandboxes), or those matching the filter. */
  listContainers(filter?: {
    readonly id?: string;
    readonly podUid?: string;
  }): Promise<readonly RuntimeContainer[]>;
  /** The container's state now; undefined when the runtime does not know it (any more). */
  containerState(id: string): Promise<ContainerState | undefined>;
  /** The image volumes of a container; none when the runtime does not know it (any more). */
  mountedImages(containerId: string): Promise<readonly MountedImage[]>;
  /** StopContainer with a timeout of 0 s. False when the runtime does not know the container (any more). */
  stopContainer(id: string): Promise<boolean>;
  close(): void;
}
