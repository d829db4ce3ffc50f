import { setTimeout as sleep } from 'node:timers/promises';
import { CriError, connectCri } from './cri.ts';
import {
  type ContainerEvent,
  type ContainerListed,
  type ContainerStatusAnswer,
  containerAnswer,
  containerStatusAnswer,
  containersAnswer,
  emptyAnswer,
  eventAnswer,
  type ImageAnswer,
  imageStatusAnswer,
  imagesAnswer,
  pullAnswer,
  sandboxAnswer,
  statusAnswer,
  versionAnswer,
} from './cri-answers.ts';
import { LabError } from './errors.ts';
import { type ContainerSpec, containerConfig, type PodPlace, type PodSpec, sandboxConfig } from './pod.ts';

/** Credentials for one pull. */
export interface PullAuth {
  username: string;
  password: string;
}

/** Why kubelet would say that a container does not run, in its own words. */
export type NotStartedReason =
  | 'ErrImagePull'
  | 'ErrImageNeverPull'
  | 'CreateContainerError'
  | 'RunContainerError';

/** A container of a pod could not be started; the sandbox stays, as with kubelet. */
export class ContainerNotStarted extends LabError {
  override readonly name = 'ContainerNotStarted';
  readonly sandboxId: string;
  readonly container: string;
  readonly reason: NotStartedReason;

  constructor(sandboxId: string, container: string, reason: NotStartedReason, cause: Error) {
    super(`${container}: ${reason}: ${cause.message}`, { cause });
    this.sandboxId = sandboxId;
    this.container = container;
    this.reason = reason;
  }
}

/** A container that runs; times are nanoseconds since 1970, as the runtime tells them. */
export interface StartedContainer {
  name: string;
  id: string;
  createdAt: bigint;
  startedAt: bigint;
}

/** A pod that runs. */
interface StartedPod {
  sandboxId: string;
  containers: StartedContainer[];
}

/**
 * Does over CRI what kubelet does for a pod, without its own gate (KubeletEnsureSecretPulledImages off).
 * Every method throws {@link CriError} when the runtime refuses.
 */
export interface Kubelet {
  /** The runtime's name and version; `ready` is its RuntimeReady condition. */
  version(): Promise<{ name: string; version: string; ready: boolean }>;
  /** Pulls, present or not; returns the imageRef. */
  pullImage(image: string, auth?: PullAuth, deadlineMs?: number): Promise<string>;
  /** By name or imageRef; undefined when it is not there. */
  imageStatus(image: string): Promise<ImageAnswer | undefined>;
  listImages(): Promise<ImageAnswer[]>;
  removeImage(image: string): Promise<void>;
  /**
   * Runs a pod: sandbox, then per container pull by policy, create, start. A creation that is refused with a
   * message like `triedAgain` is tried again, as kubelet does with each.
   * @throws {ContainerNotStarted} with kubelet's word for the reason; the sandbox and earlier containers
   * stay.
   */
  runPod(pod: PodSpec, auth?: PullAuth, triedAgain?: RegExp): Promise<StartedPod>;
  /** `attempt`: how often a sandbox of this pod was begun before. */
  runSandbox(pod: PodSpec, attempt?: number): Promise<string>;
  /**
   * Creates from an imageRef that is there already; `attempt` is the restart count. Returns the container's
   * id.
   */
  createContainer(
    sandboxId: string,
    pod: PodSpec,
    container: ContainerSpec,
    imageRef: string,
    attempt?: number,
  ): Promise<string>;
  startContainer(id: string): Promise<void>;
  containerStatus(id: string): Promise<ContainerStatusAnswer>;
  /** `graceSeconds` 0 kills at once. */
  stopContainer(id: string, graceSeconds?: number): Promise<void>;
  removeContainer(id: string): Promise<void>;
  listContainers(): Promise<ContainerListed[]>;
  /** Stops and removes the sandbox with everything in it. */
  removePod(sandboxId: string): Promise<void>;
  /** Events from now on; on containerd 1.6 it throws with code 12 (Unimplemented). */
  events(signal: AbortSignal): AsyncGenerator<ContainerEvent>;
  close(): void;
}

/** Of a creation; kubelet has no such limit. */
const MAX_TRIES = 60;
const RETRY_MS = 500;

/** A stand-in for kubelet on this runtime (`unix:///…`). */
export function connectKubelet(endpoint: string, place: PodPlace): Kubelet {
  const { call, stream, close } = connectCri(endpoint);

  const notStarted = (sandboxId: string, container: ContainerSpec, reason: NotStartedReason) => {
    return (error: unknown): never => {
      if (!(error instanceof CriError)) throw error;
      throw new ContainerNotStarted(sandboxId, container.name, reason, error);
    };
  };

  async function createInTheEnd(
    sandboxId: string,
    pod: PodSpec,
    container: ContainerSpec,
    imageRef: string,
    triedAgain: RegExp | undefined,
  ): Promise<string> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await kubelet.createContainer(sandboxId, pod, container, imageRef, attempt);
      } catch (error) {
        const isLast = attempt + 1 >= MAX_TRIES;
        if (isLast || !(error instanceof CriError) || !triedAgain?.test(error.message)) throw error;
        await sleep(RETRY_MS);
      }
    }
  }

  const kubelet: Kubelet = {
    async version() {
      const { runtime_name, runtime_version } = await call('Version', {}, versionAnswer, 2_000);
      const { status } = await call('Status', {}, statusAnswer, 2_000);
      const ready = status.conditions.some(({ type, status: is }) => type === 'RuntimeReady' && is);
      return { name: runtime_name, version: runtime_version, ready };
    },
    async pullImage(image, auth, deadlineMs) {
      const request = { image: { image }, ...(auth === undefined ? {} : { auth }) };
      return (await call('PullImage', request, pullAnswer, deadlineMs)).image_ref;
    },
    async imageStatus(image) {
      return (await call('ImageStatus', { image: { image } }, imageStatusAnswer)).image ?? undefined;
    },
    async listImages() {
      return (await call('ListImages', {}, imagesAnswer)).images;
    },
    async removeImage(image) {
      await call('RemoveImage', { image: { image } }, emptyAnswer);
    },
    async runSandbox(pod, attempt = 0) {
      const config = sandboxConfig(pod, place, attempt);
      return (await call('RunPodSandbox', { config }, sandboxAnswer)).pod_sandbox_id;
    },
    async createContainer(sandboxId, pod, container, imageRef, attempt = 0) {
      const request = {
        pod_sandbox_id: sandboxId,
        config: containerConfig(pod, container, imageRef, attempt),
        sandbox_config: sandboxConfig(pod, place),
      };
      return (await call('CreateContainer', request, containerAnswer)).container_id;
    },
    async startContainer(id) {
      await call('StartContainer', { container_id: id }, emptyAnswer);
    },
    async containerStatus(id) {
      return (await call('ContainerStatus', { container_id: id }, containerStatusAnswer)).status;
    },
    async stopContainer(id, graceSeconds = 30) {
      await call('StopContainer', { container_id: id, timeout: graceSeconds }, emptyAnswer);
    },
    async removeContainer(id) {
      await call('RemoveContainer', { container_id: id }, emptyAnswer);
    },
    async listContainers() {
      return (await call('ListContainers', {}, containersAnswer)).containers;
    },
    async removePod(sandboxId) {
      await call('StopPodSandbox', { pod_sandbox_id: sandboxId }, emptyAnswer);
      // As kubelet's garbage collection does, and it has to be so: containerd takes a lock of its NRI twice
      // when it removes a sandbox that still has containers, and never goes on when a plugin registers in
      // between.
      const containers = await kubelet.listContainers();
      for (const { id } of containers.filter((container) => container.sandboxId === sandboxId)) {
        await kubelet.removeContainer(id);
      }
      await call('RemovePodSandbox', { pod_sandbox_id: sandboxId }, emptyAnswer);
    },
    async runPod(pod, auth, triedAgain) {
      const sandboxId = await kubelet.runSandbox(pod);
      const containers: StartedContainer[] = [];
      for (const container of pod.containers) {
        const { image, imagePullPolicy: policy } = container;
        const present = (await kubelet.imageStatus(image))?.id;
        if (present === undefined && policy === 'Never') {
          const cause = new LabError(`Container image "${image}" is not present with pull policy of Never`);
          throw new ContainerNotStarted(sandboxId, container.name, 'ErrImageNeverPull', cause);
        }
        const imageRef =
          present === undefined || policy === 'Always'
            ? await kubelet.pullImage(image, auth).catch(notStarted(sandboxId, container, 'ErrImagePull'))
            : present;
        const id = await createInTheEnd(sandboxId, pod, container, imageRef, triedAgain).catch(
          notStarted(sandboxId, container, 'CreateContainerError'),
        );
        await kubelet.startContainer(id).catch(notStarted(sandboxId, container, 'RunContainerError'));
        const { createdAt, startedAt } = await kubelet.containerStatus(id);
        containers.push({ name: container.name, id, createdAt, startedAt });
      }
      return { sandboxId, containers };
    },
    events: (signal) => stream('GetContainerEvents', {}, eventAnswer, signal),
    close,
  };
  return kubelet;
}
