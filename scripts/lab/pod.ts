import { createHash } from 'node:crypto';

/** A container of a pod, as far as the lab needs a pod spec. */
export interface ContainerSpec {
  name: string;
  /** The pod's own text. */
  image: string;
  imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  /** Replaces the image's entry point. */
  command?: string[];
  env?: Record<string, string>;
  /** Image volumes, with the imageRef that is there already; containerd 2.1 and later. */
  imageVolumes?: { path: string; image: string; imageRef: string }[];
}

/** A pod for {@link file://./kubelet.ts}. */
export interface PodSpec {
  namespace: string;
  name: string;
  uid: string;
  /** Where kubelet has it from; the API server unless said otherwise. Empty: somebody else has made it. */
  configSource?: 'api' | 'file' | '';
  containers: ContainerSpec[];
}

/** The cgroup that this pod's sandbox and containers are put below, and where their logs go. */
export interface PodPlace {
  cgroupParent: string;
  logFolder: string;
}

function podLabels({ namespace, name, uid }: PodSpec): Record<string, string> {
  return {
    'io.kubernetes.pod.name': name,
    'io.kubernetes.pod.namespace': namespace,
    'io.kubernetes.pod.uid': uid,
  };
}

// Sandbox and container share the node's network, so that no CNI plugin is needed.
const security = { namespace_options: { network: 'NODE', pid: 'CONTAINER', ipc: 'POD' } };

/** The sandbox configuration that kubelet would send for this pod (PodSandboxConfig). */
export function sandboxConfig(pod: PodSpec, { cgroupParent, logFolder }: PodPlace, attempt = 0): object {
  return {
    metadata: { name: pod.name, uid: pod.uid, namespace: pod.namespace, attempt },
    log_directory: `${logFolder}/${pod.namespace}_${pod.name}_${pod.uid}`,
    labels: podLabels(pod),
    annotations: {
      'kubernetes.io/config.seen': new Date().toISOString(),
      'kubernetes.io/config.source': pod.configSource ?? 'api',
    },
    linux: { cgroup_parent: cgroupParent, security_context: security },
  };
}

/**
 * The container configuration that kubelet would send (ContainerConfig).
 * @param imageRef the runtime's id for the image, which kubelet names instead of the pod's own text.
 */
export function containerConfig(
  pod: PodSpec,
  container: ContainerSpec,
  imageRef: string,
  attempt: number,
): object {
  const hash = createHash('sha256').update(JSON.stringify(container)).digest('hex').slice(0, 8);
  return {
    metadata: { name: container.name, attempt },
    image: { image: imageRef, user_specified_image: container.image },
    command: container.command ?? [],
    envs: Object.entries(container.env ?? {}).map(([key, value]) => ({ key, value })),
    mounts: (container.imageVolumes ?? []).map(({ path, image, imageRef: ref }) => ({
      container_path: path,
      readonly: true,
      image: { image: ref, user_specified_image: image },
    })),
    labels: { ...podLabels(pod), 'io.kubernetes.container.name': container.name },
    annotations: {
      'io.kubernetes.container.hash': hash,
      'io.kubernetes.container.restartCount': String(attempt),
      'io.kubernetes.container.terminationMessagePath': '/dev/termination-log',
      'io.kubernetes.container.terminationMessagePolicy': 'File',
      'io.kubernetes.pod.terminationGracePeriod': '30',
    },
    log_path: `${container.name}_${attempt}.log`,
    linux: { security_context: security },
  };
}
