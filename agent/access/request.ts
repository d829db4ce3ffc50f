import type { Pod, PodContainer } from '../pods/pod-source.ts';

/** One container's request: may its pod use this content? */
export type AccessRequest = {
  readonly pod: Pod;
  readonly container: Pick<PodContainer, 'name' | 'image' | 'imagePullPolicy'>;
  /** The image id of the content that the container really uses. */
  readonly imageRef: string;
  /** The pod's sandbox, where it is known. */
  readonly podSandboxId?: string | undefined;
  /** False for containers that ran before anyone asked. */
  readonly urgent: boolean;
};

/** Kubelet's words for how a check ended (image_mustpull_checks_total). */
export type CheckResult = 'credentialPolicyAllowed' | 'credentialRecordFound' | 'mustAuthenticate' | 'error';
