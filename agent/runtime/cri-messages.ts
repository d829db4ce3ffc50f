import { z } from 'zod';
import type { ContainerState, RuntimeImage } from './runtime.ts';

/**
 * What a container event says; it carries no image id (recorded on 1.7, 2.1 and CRI-O), so it only names a
 * container.
 */
export type ContainerEvent = {
  readonly containerId: string;
  readonly type: ContainerEventType;
  /** Empty where the runtime sends no sandbox status (containerd 1.7 when a sandbox is deleted). */
  readonly podSandboxId: string;
};

export type ContainerEventType = 'created' | 'started' | 'stopped' | 'deleted';

/** Ids are 64 hex digits on containerd and CRI-O; the protocol promises less. */
const ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,255}$/;

const stateNames: Readonly<Record<string, ContainerState>> = {
  CONTAINER_CREATED: 'created',
  CONTAINER_RUNNING: 'running',
  CONTAINER_EXITED: 'exited',
};
const eventNames: Readonly<Record<string, ContainerEventType>> = {
  CONTAINER_CREATED_EVENT: 'created',
  CONTAINER_STARTED_EVENT: 'started',
  CONTAINER_STOPPED_EVENT: 'stopped',
  CONTAINER_DELETED_EVENT: 'deleted',
};

// A value of an enum that cri.proto does not know arrives as its number.
const state = z.union([z.string(), z.number()]).transform((name) => stateNames[name] ?? 'unknown');

const strings = z.record(z.string(), z.string());

const image = z.object({
  id: z.string(),
  repoTags: z.array(z.string()),
  repoDigests: z.array(z.string()),
  pinned: z.boolean(),
}) satisfies z.ZodType<RuntimeImage>;

const container = z.object({
  id: z.string(),
  podSandboxId: z.string(),
  metadata: z.object({ name: z.string(), attempt: z.number() }).nullable(),
  image: z.object({ image: z.string() }).nullable(),
  imageRef: z.string(),
  state,
  createdAt: z.string().transform((nanoseconds) => BigInt(nanoseconds)),
  labels: strings,
  imageId: z.string(),
});

export type ListedContainer = z.infer<typeof container>;

export const versionResponse = z.object({
  runtimeName: z.string(),
  runtimeVersion: z.string(),
  runtimeApiVersion: z.string(),
});
export const listImagesResponse = z.object({ images: z.array(image) });
export const imageStatusResponse = z.object({ image: image.nullable() });
export const verboseImageStatusResponse = z.object({
  image: z.object({ id: z.string() }).nullable(),
  info: strings,
});
export const podSandboxStatusResponse = z.object({
  status: z
    .object({
      id: z.string(),
      metadata: z
        .object({ name: z.string(), uid: z.string(), namespace: z.string(), attempt: z.number() })
        .nullable(),
      labels: strings,
      annotations: strings,
      runtimeHandler: z.string(),
    })
    .nullable(),
});
export const pullImageResponse = z.object({ imageRef: z.string() });
export const listContainersResponse = z.object({ containers: z.array(container) });
const imageSpec = z.object({ image: z.string(), userSpecifiedImage: z.string() });
export const containerStatusResponse = z.object({
  status: z.object({ state, mounts: z.array(z.object({ image: imageSpec.nullable() })) }).nullable(),
});
export const stopContainerResponse = z.object({});

const containerEvent = z.object({
  containerId: z.string().regex(ID),
  containerEventType: z.union([z.string(), z.number()]).transform((name) => eventNames[name]),
  podSandboxStatus: z.object({ id: z.string() }).nullable(),
});

/** Undefined for an event that makes no sense. */
export function parseContainerEvent(message: unknown): ContainerEvent | undefined {
  const parsed = containerEvent.safeParse(message);
  if (!parsed.success || parsed.data.containerEventType === undefined) return undefined;
  const { containerId, containerEventType: type, podSandboxStatus } = parsed.data;
  return { containerId, type, podSandboxId: podSandboxStatus?.id ?? '' };
}
