import { denied, unverifiable, type Verdict } from '../access/verdict.ts';
import { PodSourceError } from '../errors.ts';
import type { Pod, PodContainer, PodSource } from '../pods/pod-source.ts';

/** Whose container it is, by the labels that kubelet gives it. */
export type Owner = {
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly containerName: string;
};

export type Spec = { readonly pod: Pod; readonly spec: PodContainer };

/** The pod of a container and its spec of it, or the verdict on a container that has none. Never throws. */
export async function findSpec(pods: Pick<PodSource, 'getPod'>, owner: Owner): Promise<Spec | Verdict> {
  const { namespace, name, uid } = owner.pod;
  if (name === '' || owner.containerName === '') {
    return denied('unmanagedPod', 'the container carries no labels of a pod');
  }
  try {
    const pod = await pods.getPod({ ...owner.pod, containerName: owner.containerName });
    if (pod === undefined)
      return denied('unmanagedPod', `no pod ${namespace}/${name} with uid ${uid} is known`);
    const spec = pod.containers.find((candidate) => candidate.name === owner.containerName);
    return spec
      ? { pod, spec }
      : denied('unmanagedPod', `pod ${namespace}/${name} has no container ${owner.containerName}`);
  } catch (error) {
    if (error instanceof PodSourceError) return unverifiable('apiServerUnavailable', error.message);
    return unverifiable('internalError', error instanceof Error ? error.message : String(error));
  }
}
