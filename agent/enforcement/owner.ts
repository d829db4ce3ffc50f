import { denied, unverifiable, type Verdict } from '../access/verdict.ts';
import { PodSourceError, RuntimeError } from '../errors.ts';
import type { Pod, PodContainer, PodSource } from '../pods/pod-source.ts';

/** What kubelet's labels say about a container, and the sandbox that it is in. */
export type ContainerLabels = {
  readonly podSandboxId: string;
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly containerName: string;
};

/** The pod that a container belongs to, and its part of the pod's spec. */
export type Owner = { readonly pod: Pod; readonly spec: PodContainer };

/**
 * Where kubelet took the pod of a sandbox from: `api`, `file` or `http`. It is the sandbox's annotation
 * `kubernetes.io/config.source`, which kubelet itself sets. Undefined where there is none, or no such
 * sandbox.
 *
 * @throws RuntimeError
 */
export type ConfigSourceOf = (podSandboxId: string) => Promise<string | undefined>;

/**
 * The owner of a container, or the verdict on a container without one. A pod that the API server does not
 * know is `podUnknown` only where kubelet took it from there; one from a file or a URL, and a container that
 * somebody else than kubelet made, is `unmanagedPod`. Never rejects.
 */
export async function findOwner(
  pods: Pick<PodSource, 'getPod'>,
  configSourceOf: ConfigSourceOf,
  labels: ContainerLabels,
): Promise<Owner | Verdict> {
  const { namespace, name, uid } = labels.pod;
  const { containerName } = labels;
  if (name === '' || containerName === '') {
    return denied('unmanagedPod', 'the container carries no labels of a pod');
  }
  try {
    const pod = await pods.getPod({ namespace, name, uid, containerName });
    const spec = pod?.containers.find((candidate) => candidate.name === containerName);
    if (pod && spec) return { pod, spec };
    const what = pod
      ? `pod ${namespace}/${name} has no container ${containerName}`
      : `no pod ${namespace}/${name} with uid ${uid} is known`;
    const source = await configSourceOf(labels.podSandboxId);
    if (source === 'api') return denied('podUnknown', `${what}, and kubelet has it from the API server`);
    const isStatic = source === 'file' || source === 'http';
    return denied('unmanagedPod', isStatic ? `${what}; kubelet has it from a ${source} source` : what);
  } catch (error) {
    if (error instanceof PodSourceError) return unverifiable('apiServerUnavailable', error.message);
    if (error instanceof RuntimeError) return unverifiable('runtimeUnavailable', error.message);
    return unverifiable('internalError', error instanceof Error ? error.message : String(error));
  }
}
