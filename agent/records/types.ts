/**
 * Kubelet's record types, in its own words (KEP-2535, `kubelet.config.k8s.io/v1beta1`:
 * ImagePulledRecord, ImagePullIntent, ImagePullCredentials).
 */

/**
 * A secret that was good for a pull. `credentialHash` is keyed here (see records/keyed-hash.ts), never
 * kubelet's plain one.
 */
export type ImagePullSecret = {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Empty when it is not known: then only the coordinates can match. */
  readonly credentialHash: string;
};

/** A service account whose token was good for a pull (KEP-4412). */
export type ImagePullServiceAccount = {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
};

/** Who may use an image under one name. All fields absent: nobody has proved anything yet. */
export type ImagePullCredentials = {
  /** True: every pod on the node may use it; swallows everything else. */
  readonly nodePodsAccessible?: boolean;
  /**
   * Ours, not kubelet's. True: the runtime pulled it with nobody's credentials, but the registry itself does
   * not hand it out: a mirror that asks nobody, or credentials in the runtime's own configuration.
   */
  readonly grantedByRuntime?: boolean;
  readonly kubernetesSecrets?: readonly ImagePullSecret[];
  readonly kubernetesServiceAccounts?: readonly ImagePullServiceAccount[];
};

/**
 * What is known of one image's pulls: trimmed image (no tag, no digest) -> who may use it under that name.
 */
export type ImagePulledRecord = {
  readonly imageRef: string;
  /** Milliseconds since the epoch. */
  readonly lastUpdatedTime: number;
  readonly credentialMapping: ReadonlyMap<string, ImagePullCredentials>;
};

/** To whom an image is granted: everyone, or the owner of a credential. */
export type Grantee =
  | { readonly kind: 'nodePodsAccessible' | 'grantedByRuntime' }
  | (ImagePullServiceAccount & { readonly kind: 'kubernetesSecret' | 'kubernetesServiceAccount' });

/** One permission on record. */
export type Grant = {
  readonly imageRef: string;
  readonly trimmedImage: string;
  readonly grantee: Grantee;
  /**
   * When a registry last granted it, ms since the epoch; undefined where that was before this was recorded.
   */
  readonly verifiedAt: number | undefined;
};

/** An image as the runtime lists it; what records/ needs of it to reconcile, prune and take the inventory. */
export type PresentImage = {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
};
