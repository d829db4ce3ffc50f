/**
 * The container runtime as the rest of the agent sees it: the part of CRI v1 (package runtime.v1) that
 * judging a container needs. Field and method names are CRI's.
 */

/** CRI `Image`. */
export type RuntimeImage = {
  /**
   * The runtime's image id, as it writes it: `sha256:<hex>` on containerd, `<hex>` on CRI-O. Kubelet's
   * imageRef.
   */
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

/** CRI `PodSandboxConfig`, the part that says whose pod it is. */
export type SandboxConfig = {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly namespace: string;
    readonly attempt: number;
  };
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
};

/** A pod's sandbox, as PodSandboxStatus gives it. */
export type Sandbox = SandboxConfig & {
  readonly id: string;
  /** Empty for the runtime's default handler. */
  readonly runtimeHandler: string;
  /**
   * Where kubelet got the pod from: `api`, `file` or `http` (annotation kubernetes.io/config.source,
   * kubelet's pkg/kubelet/types/pod_update.go). Undefined where the sandbox has no such annotation.
   */
  readonly configSource: string | undefined;
};

/** What an image consists of. Digests with their algorithm, `sha256:<hex>`. */
export type ImagePieces = {
  /** The digest of the image config, which is the image id. */
  readonly config: string;
  /**
   * The layers' diff_ids (OCI image spec, rootfs.diff_ids), lowest first; each is the digest of the
   * unpacked tar.
   */
  readonly layers: readonly string[];
};

/**
 * Why an image's pieces are not known. `imageAbsent`: the runtime does not have it. `infoMissing`: the
 * runtime tells nothing about it. `infoTooLarge`: it tells more than is read. `infoMalformed`: what it
 * tells is no image config.
 */
export type PiecesUnknown = 'imageAbsent' | 'infoMissing' | 'infoTooLarge' | 'infoMalformed';

export type ImagePiecesAnswer =
  | { readonly pieces: ImagePieces }
  | { readonly pieces: undefined; readonly reason: PiecesUnknown };

/** A blob that the runtime keeps. */
export type PulledBlob = {
  readonly digest: string;
  /**
   * The repositories whose pulls have had it in their hands, as `HOST/PATH` without a port; several where it
   * cannot be told which of them fetched it.
   */
  readonly pulledFor: readonly string[];
};

/**
 * By piece, the blobs that hold it: a config is a blob, a layer is what a blob unpacks to. A piece that the
 * runtime keeps no blob of is missing.
 */
export type BlobsOfPieces = ReadonlyMap<string, readonly PulledBlob[]>;

/** A pull as kubelet asks for it (pkg/kubelet/kuberuntime/kuberuntime_image.go). */
export type PullRequest = {
  readonly image: string;
  /** CRI ImageSpec.annotations; kubelet sends the pod's. Those of the sandbox when left out. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** Left out for an anonymous pull. */
  readonly auth?: RegistryAuth | undefined;
  /** The pod that pulls. CRI-O chooses credentials and signature policy by its namespace. */
  readonly sandbox?: SandboxConfig | undefined;
  /** containerd chooses the snapshotter by it. */
  readonly runtimeHandler?: string | undefined;
  /** Milliseconds for the whole pull. */
  readonly timeoutMs: number;
};

/**
 * How a pull failed, as far as the runtime's text tells.
 *
 * `refused`: somebody answered 401, 403 or the like. `notFound`: no such manifest or repository for these
 * credentials. `unavailable`: no answer that counts, whoever was asked. `forbiddenByPolicy`: content that
 * nobody may have now, whatever the credentials (412, 451, a signature policy). `invalid`: the runtime does
 * not accept the name. `nodeTrouble`: the node itself is in the way (a full disk, a forbidden socket, a layer
 * that cannot be unpacked). `unknown`: a text that no row of the table knows: an outage of unknown kind,
 * never a permission and never a refusal. `runtimeUnavailable`: the runtime did not answer.
 */
export type PullFailure =
  | 'refused'
  | 'notFound'
  | 'unavailable'
  | 'forbiddenByPolicy'
  | 'invalid'
  | 'nodeTrouble'
  | 'unknown'
  | 'runtimeUnavailable';

/**
 * Who said so. `registry`: the text names the image's own registry as the host that answered. `other`: it
 * names, or can only come from, somebody else: a mirror, a proxy, a token server elsewhere, an object
 * store. `unstated`: it names nobody, or whom it names need not be the one who answered.
 */
export type PullSpeaker = 'registry' | 'other' | 'unstated';

export type FailedPull = {
  readonly outcome: PullFailure;
  readonly speaker: PullSpeaker;
  /** One line, at most 512 characters, free of credentials. */
  readonly message: string;
};

/**
 * `imageRef`: the image id that the runtime reports for what was pulled; it need not be the content in use.
 */
export type PullOutcome = { readonly outcome: 'pulled'; readonly imageRef: string } | FailedPull;

export type RuntimeVersion = { readonly name: string; readonly version: string; readonly apiVersion: string };

/**
 * Calls to the runtime. Every call has a deadline.
 *
 * @throws RuntimeError from every call but pullImage
 */
export interface Runtime {
  version(): Promise<RuntimeVersion>;
  listImages(): Promise<readonly RuntimeImage[]>;
  /** The image by name, digest or id; undefined when it is not present. */
  imageStatus(image: string): Promise<RuntimeImage | undefined>;
  /**
   * What the image consists of, by its image id. Costs the runtime a read of the image config: not for a
   * hot path.
   */
  imagePieces(imageId: string): Promise<ImagePiecesAnswer>;
  /**
   * The blobs that hold these pieces, and whose pulls have had them in their hands; undefined where the
   * runtime keeps no notes about it (CRI-O). Costs the runtime a look at all of its content: not for a hot
   * path.
   */
  blobsOfPieces(pieces: readonly string[]): Promise<BlobsOfPieces | undefined>;
  /** A blob by its digest; undefined where the runtime does not keep it, or where it has more bytes. */
  blob(digest: string, maxBytes: number): Promise<Buffer | undefined>;
  /** Asks the runtime to pull; never throws. */
  pullImage(request: PullRequest): Promise<PullOutcome>;
  /** The pod's sandbox; undefined when the runtime does not know it (any more). */
  sandbox(podSandboxId: string): Promise<Sandbox | undefined>;
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

/** What images' names mean, where that is kept as long as it holds. */
export type ImageNames = Pick<Runtime, 'imageStatus'> & {
  /** Is this, of all answers about the name, one that holds until a name is said to have changed? */
  isKept(name: string, image: RuntimeImage): boolean;
};
