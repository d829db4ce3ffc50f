import { denied, unverifiable, type Verdict } from '../access/verdict.ts';
import { PodSourceError, RuntimeError } from '../errors.ts';
import type { Pod, PodContainer, PodSource } from '../pods/pod-source.ts';

/** What kubelet's labels say about a container, and the sandbox that it is in. */
export type ContainerLabels = {
  readonly podSandboxId: string;
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly containerName: string;
  /** What the runtime knows the container's image by, a name or an id; empty where that is not known yet. */
  readonly image: string;
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
 * know is `podUnknown` where kubelet took it from there; one from a file or a URL is judged as what it can
 * be; a container that somebody else than kubelet made is `unmanagedPod`. Never rejects.
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
    if (isStatic && labels.image !== '') return staticOwner(labels, source, pod);
    return denied('unmanagedPod', isStatic ? `${what}; kubelet has it from a ${source} source` : what);
  } catch (error) {
    if (error instanceof PodSourceError) return unverifiable('apiServerUnavailable', error.message);
    if (error instanceof RuntimeError) return unverifiable('runtimeUnavailable', error.message);
    return unverifiable('internalError', error instanceof Error ? error.message : String(error));
  }
}

/**
 * A static pod that nobody knows: its namespace does not exist, so that it has no mirror pod, and
 * `--static-pods` is not set. Kubelet took it from the node itself, so that it has what the node has, and no
 * secret or service account of a namespace (kubelet refuses a static pod that refers to one).
 */
function staticOwner(
  { pod: place, containerName, image }: ContainerLabels,
  configSource: 'file' | 'http',
  known: Pod | undefined,
): Owner {
  const spec: PodContainer = {
    name: containerName,
    image,
    imagePullPolicy: 'IfNotPresent',
    kind: 'container',
    imageVolumes: [],
  };
  const bare = { ...place, serviceAccountName: '', configSource, imagePullSecrets: [], containers: [spec] };
  return { pod: known ?? bare, spec };
}
