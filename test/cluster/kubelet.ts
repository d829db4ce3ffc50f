import { setTimeout as sleep } from 'node:timers/promises';
import { CriError } from '../../scripts/lab/cri.ts';
import type { Kubelet as LabKubelet, PullAuth } from '../../scripts/lab/kubelet.ts';
import type { ContainerSpec, PodSpec } from '../../scripts/lab/pod.ts';

/** A container of a pod, in the API's words. */
export type ApiContainer = {
  readonly name: string;
  readonly image: string;
  readonly imagePullPolicy: ContainerSpec['imagePullPolicy'];
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
};

/** A Pod object as far as kubelet's stand-in runs it. */
export type ApiPod = {
  readonly apiVersion: 'v1';
  readonly kind: 'Pod';
  readonly metadata: {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: {
    readonly nodeName: string;
    readonly serviceAccountName?: string;
    readonly imagePullSecrets?: readonly { readonly name: string }[];
    readonly initContainers?: readonly ApiContainer[];
    readonly containers: readonly ApiContainer[];
    readonly ephemeralContainers?: readonly ApiContainer[];
    readonly volumes?: readonly {
      readonly name: string;
      readonly image?: { readonly reference: string; readonly pullPolicy: ContainerSpec['imagePullPolicy'] };
    }[];
  };
};

/** One container of a pod that is being kept running, as it is now. */
export type KeptContainer = {
  readonly name: string;
  /** Of every container that was created for it so far, the newest last. */
  readonly ids: readonly string[];
  /** What the runtime or a registry said when it could not be created or started. */
  readonly failures: readonly string[];
};

export type KeptPod = {
  /** Of containers by name; throws for one that the pod does not have. */
  container(name: string): KeptContainer;
  /** Adds an ephemeral container, as `kubectl debug` does. */
  debug(container: ApiContainer): void;
  /** Removes the pod with its sandbox; waits for the runtime if that is away. */
  remove(): Promise<void>;
};

export type ClusterKubelet = {
  /** Runs a pod from now on: what ends is restarted, what cannot be created is tried again. */
  run(pod: ApiPod): KeptPod;
  stop(): Promise<void>;
};

export type ClusterKubeletOptions = {
  readonly runtime: LabKubelet;
  /** What the pod's secrets hold for the registry of this image, in order. */
  readonly authsFor: (pod: ApiPod, image: string) => readonly PullAuth[];
};

/** Kubelet waits 10 s and more; nothing here depends on how long. */
const RETRY_MS = 300;
const LOOK_MS = 100;

/**
 * A stand-in for kubelet's sync loop on a real runtime: pulls by policy with the pod's secrets, creates and
 * starts, and does so again for what ended or failed. Kubelet's own gate (KubeletEnsureSecretPulledImages) is
 * off.
 */
export function startClusterKubelet({ runtime, authsFor }: ClusterKubeletOptions): ClusterKubelet {
  const pods = new Set<KeptPod>();

  async function pull(pod: ApiPod, image: string): Promise<string> {
    let failure: unknown;
    for (const auth of [...authsFor(pod, image), undefined]) {
      try {
        return await runtime.pullImage(image, auth);
      } catch (error) {
        failure ??= error;
      }
    }
    throw failure;
  }

  async function ensureImage(
    pod: ApiPod,
    image: string,
    policy: ContainerSpec['imagePullPolicy'],
  ): Promise<string> {
    const present = policy === 'Always' ? undefined : (await runtime.imageStatus(image))?.id;
    if (present !== undefined) return present;
    if (policy === 'Never')
      throw new Error(`Container image "${image}" is not present with pull policy of Never`);
    return pull(pod, image);
  }

  function run(pod: ApiPod): KeptPod {
    const stopping = new AbortController();
    const { signal } = stopping;
    const kept = new Map<string, { ids: string[]; failures: string[] }>();
    const loops: Promise<void>[] = [];
    let sandbox: Promise<string> | undefined;
    let sandboxes = 0;
    const podSpec: PodSpec = { ...pod.metadata, containers: [] };

    function sandboxId(): Promise<string> {
      sandbox ??= runtime.runSandbox(podSpec, sandboxes).catch((error: unknown) => {
        sandbox = undefined;
        // A runtime that was killed meanwhile keeps the name of this attempt.
        sandboxes += 1;
        throw error;
      });
      return sandbox;
    }

    async function start(container: ApiContainer, attempt: number): Promise<string> {
      const { name, image, imagePullPolicy } = container;
      const sandboxOfPod = await sandboxId();
      const imageRef = await ensureImage(pod, image, imagePullPolicy);
      const imageVolumes: ContainerSpec['imageVolumes'] = [];
      for (const { name: volumeName, mountPath: path } of container.volumeMounts ?? []) {
        const source = pod.spec.volumes?.find((volume) => volume.name === volumeName)?.image;
        if (!source) continue;
        const ref = await ensureImage(pod, source.reference, source.pullPolicy);
        imageVolumes.push({ path, image: source.reference, imageRef: ref });
      }
      const spec = { name, image, imagePullPolicy, imageVolumes };
      const id = await runtime.createContainer(sandboxOfPod, podSpec, spec, imageRef, attempt);
      kept.get(name)?.ids.push(id);
      await runtime.startContainer(id);
      return id;
    }

    async function ended(id: string): Promise<void> {
      while (!signal.aborted) {
        try {
          if ((await runtime.containerStatus(id)).state === 'CONTAINER_EXITED') return;
        } catch (error) {
          if (!(error instanceof CriError) || error.code === 5) return;
        }
        await pause(LOOK_MS);
      }
    }

    async function pause(ms: number): Promise<void> {
      await sleep(ms, undefined, { signal }).catch(() => undefined);
    }

    async function keep(container: ApiContainer): Promise<void> {
      const failures = kept.get(container.name)?.failures ?? [];
      for (let attempt = 0; !signal.aborted; attempt += 1) {
        try {
          await ended(await start(container, attempt));
        } catch (error) {
          failures.push(error instanceof Error ? error.message : String(error));
        }
        await pause(RETRY_MS);
      }
    }

    function add(container: ApiContainer): void {
      kept.set(container.name, { ids: [], failures: [] });
      loops.push(keep(container));
    }

    async function removeSandbox(): Promise<void> {
      const id = await sandbox?.catch(() => undefined);
      if (id === undefined) return;
      for (let tries = 0; tries < 100; tries += 1) {
        try {
          return await runtime.removePod(id);
        } catch {
          await sleep(RETRY_MS);
        }
      }
    }

    const { initContainers = [], containers, ephemeralContainers = [] } = pod.spec;
    for (const container of [...initContainers, ...containers, ...ephemeralContainers]) add(container);
    const keptPod: KeptPod = {
      container(name) {
        const found = kept.get(name);
        if (!found) throw new Error(`the pod has no container ${name}`);
        return { name, ...found };
      },
      debug: add,
      async remove() {
        pods.delete(keptPod);
        stopping.abort();
        await Promise.allSettled(loops);
        await removeSandbox();
      },
    };
    pods.add(keptPod);
    return keptPod;
  }

  return {
    run,
    async stop() {
      await Promise.all([...pods].map((pod) => pod.remove()));
    },
  };
}
