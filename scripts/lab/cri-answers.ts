import { z } from 'zod';

/** Nanoseconds since 1970; larger than a double can hold exactly. */
const nanoseconds = z.string().transform((text) => BigInt(text));
const labels = z.record(z.string(), z.string());
const imageSpec = z
  .object({ image: z.string(), user_specified_image: z.string() })
  .transform(({ image, user_specified_image }) => ({ image, userSpecifiedImage: user_specified_image }));
const metadata = z.object({ name: z.string(), attempt: z.number() });
const state = z.enum(['CONTAINER_CREATED', 'CONTAINER_RUNNING', 'CONTAINER_EXITED', 'CONTAINER_UNKNOWN']);

/** Who answers, as Version tells it. */
export const versionAnswer = z.object({ runtime_name: z.string(), runtime_version: z.string() });

export const statusAnswer = z.object({
  status: z.object({
    conditions: z.array(z.object({ type: z.string(), status: z.boolean(), message: z.string() })),
  }),
});

export const sandboxAnswer = z.object({ pod_sandbox_id: z.string().min(1) });
export const containerAnswer = z.object({ container_id: z.string().min(1) });
export const pullAnswer = z.object({ image_ref: z.string().min(1) });
export const emptyAnswer = z.object({});

const image = z
  .object({
    id: z.string(),
    repo_tags: z.array(z.string()),
    repo_digests: z.array(z.string()),
    size: z.string(),
    pinned: z.boolean(),
  })
  .transform(({ id, repo_tags, repo_digests, size, pinned }) => ({
    id,
    repoTags: repo_tags,
    repoDigests: repo_digests,
    /** Bytes. */
    size: Number(size),
    pinned,
  }));

/** An image as the runtime lists it. */
export type ImageAnswer = z.output<typeof image>;

export const imageStatusAnswer = z.object({ image: image.nullish() });
export const imagesAnswer = z.object({ images: z.array(image) });

const containerListed = z
  .object({
    id: z.string(),
    pod_sandbox_id: z.string(),
    metadata: metadata.nullable(),
    image: imageSpec.nullable(),
    image_ref: z.string(),
    image_id: z.string(),
    state,
    created_at: nanoseconds,
    labels,
    annotations: labels,
  })
  .transform(({ pod_sandbox_id, image_ref, image_id, created_at, ...rest }) => ({
    ...rest,
    sandboxId: pod_sandbox_id,
    imageRef: image_ref,
    imageId: image_id,
    createdAt: created_at,
  }));

/** A container as ListContainers tells it; times are nanoseconds since 1970. */
export type ContainerListed = z.output<typeof containerListed>;

export const containersAnswer = z.object({ containers: z.array(containerListed) });

const containerStatus = z
  .object({
    id: z.string(),
    metadata: metadata.nullable(),
    state,
    created_at: nanoseconds,
    started_at: nanoseconds,
    finished_at: nanoseconds,
    exit_code: z.number(),
    image: imageSpec.nullable(),
    image_ref: z.string(),
    reason: z.string(),
    message: z.string(),
    labels,
    annotations: labels,
  })
  .transform(({ created_at, started_at, finished_at, exit_code, image_ref, ...rest }) => ({
    ...rest,
    createdAt: created_at,
    startedAt: started_at,
    finishedAt: finished_at,
    exitCode: exit_code,
    imageRef: image_ref,
  }));

/** A container as ContainerStatus tells it; times are nanoseconds since 1970, 0 when not yet. */
export type ContainerStatusAnswer = z.output<typeof containerStatus>;

export const containerStatusAnswer = z.object({ status: containerStatus });

export const eventAnswer = z
  .object({
    container_id: z.string(),
    container_event_type: z.string(),
    created_at: nanoseconds,
    containers_statuses: z.array(containerStatus),
  })
  .transform(({ container_id, container_event_type, created_at, containers_statuses }) => ({
    containerId: container_id,
    type: container_event_type,
    createdAt: created_at,
    containers: containers_statuses,
    /** When it reached this process: nanoseconds since 1970. */
    receivedAt: BigInt(Date.now()) * 1_000_000n,
  }));

/** One event of GetContainerEvents. */
export type ContainerEvent = z.output<typeof eventAnswer>;
