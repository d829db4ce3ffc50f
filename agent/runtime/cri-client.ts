import { status as grpc } from '@grpc/grpc-js';
import type { RuntimeError } from '../errors.ts';
import { encodingsOf } from './credential-encodings.ts';
import { grpcStatus, openCriChannel, toRuntimeError } from './cri-channel.ts';
import {
  type ContainerEvent,
  containerStatusResponse,
  imageStatusResponse,
  type ListedContainer,
  listContainersResponse,
  listImagesResponse,
  parseContainerEvent,
  pullImageResponse,
  stopContainerResponse,
  versionResponse,
} from './cri-messages.ts';
import { classifyPullError } from './pull-errors.ts';
import type { Runtime, RuntimeContainer } from './runtime.ts';

/** Hears the runtime's container events until `onEnd`, which is called exactly once unless the stream was ended here. */
export type EventListener = {
  readonly onEvent: (event: ContainerEvent) => void;
  readonly onMalformed: () => void;
  /** Undefined: the runtime ended the stream in order (EOF). */
  readonly onEnd: (error: RuntimeError | undefined) => void;
};

export interface ContainerEventSource {
  /** Opens GetContainerEvents; returns how to end it. */
  subscribe(listener: EventListener): () => void;
}

export type CriClient = Runtime &
  ContainerEventSource & {
    /** Is there a connection to the socket now? */
    connected(): boolean;
  };

export type CriClientOptions = {
  /** The path of the socket (see endpoint.ts). */
  readonly socketPath: string;
  /** Milliseconds for every call but pullImage and stopContainer; 10 s when left out. */
  readonly callTimeoutMs?: number;
  /** Milliseconds for stopContainer, which waits for the process to end; 30 s when left out. */
  readonly stopTimeoutMs?: number;
  readonly onConnectionChange?: (connected: boolean) => void;
};

/** The runtime over CRI v1. Connects in the background: a call while the runtime is away throws `unreachable`. */
export function createCriClient(options: CriClientOptions): CriClient {
  const channel = openCriChannel(options.socketPath, options.onConnectionChange ?? (() => {}));
  const timeoutMs = options.callTimeoutMs ?? 10_000;

  async function imageStatus(image: string) {
    const request = { image: { image } };
    const response = await channel.call(
      'ImageService',
      'ImageStatus',
      request,
      imageStatusResponse,
      timeoutMs,
    );
    return response.image ?? undefined;
  }

  async function containerStatus(containerId: string) {
    try {
      const answer = await channel.call(
        'RuntimeService',
        'ContainerStatus',
        { containerId },
        containerStatusResponse,
        timeoutMs,
      );
      return answer.status ?? undefined;
    } catch (error) {
      if (grpcStatus(error)?.code === grpc.NOT_FOUND) return undefined;
      throw error;
    }
  }

  return {
    imageStatus,
    connected: channel.connected,
    close: channel.close,

    async version() {
      const answer = await channel.call('RuntimeService', 'Version', {}, versionResponse, timeoutMs);
      return {
        name: answer.runtimeName,
        version: answer.runtimeVersion,
        apiVersion: answer.runtimeApiVersion,
      };
    },

    async listImages() {
      return (await channel.call('ImageService', 'ListImages', {}, listImagesResponse, timeoutMs)).images;
    },

    async pullImage(image, auth, pullTimeoutMs) {
      const request = {
        image: { image },
        ...(auth && { auth: { username: auth.username, password: auth.password } }),
      };
      const atDeadline = performance.now() + pullTimeoutMs - CLOCKS_APART_MS;
      try {
        const answer = await channel.call(
          'ImageService',
          'PullImage',
          request,
          pullImageResponse,
          pullTimeoutMs,
        );
        return { outcome: 'pulled', imageRef: answer.imageRef };
      } catch (error) {
        const status = grpcStatus(error);
        const call = channel.closed() ? 'closed' : performance.now() >= atDeadline ? 'overdue' : 'open';
        const code = status?.code ?? grpc.UNKNOWN;
        return classifyPullError(code, status?.details ?? '', auth ? encodingsOf(auth) : [], call);
      }
    },

    async listContainers(filter = {}) {
      const request = {
        filter: {
          id: filter.id ?? '',
          labelSelector: filter.podUid === undefined ? {} : { 'io.kubernetes.pod.uid': filter.podUid },
        },
      };
      const answer = await channel.call(
        'RuntimeService',
        'ListContainers',
        request,
        listContainersResponse,
        timeoutMs,
      );
      // The runtimes take the beginning of an id for the id.
      const listed = answer.containers.filter(({ id }) => filter.id === undefined || id === filter.id);
      const imageIds = await resolveImageIds(listed, imageStatus);
      return listed.map((container) => toRuntimeContainer(container, imageIds));
    },

    async containerState(id) {
      return (await containerStatus(id))?.state;
    },

    async mountedImages(containerId) {
      const mounts = (await containerStatus(containerId))?.mounts ?? [];
      return mounts.flatMap(({ image }) =>
        image === null || image.image === ''
          ? []
          : { image: image.userSpecifiedImage, imageRef: image.image },
      );
    },

    async stopContainer(id) {
      try {
        const request = { containerId: id, timeout: 0 };
        const stopTimeoutMs = options.stopTimeoutMs ?? 30_000;
        await channel.call('RuntimeService', 'StopContainer', request, stopContainerResponse, stopTimeoutMs);
        return true;
      } catch (error) {
        if (grpcStatus(error)?.code === grpc.NOT_FOUND) return false;
        throw error;
      }
    },

    subscribe(listener) {
      const stream = channel.stream('RuntimeService', 'GetContainerEvents', {});
      let over = false;
      stream.on('data', (message: unknown) => {
        if (over) return;
        const event = parseContainerEvent(message);
        if (event === undefined) listener.onMalformed();
        else listener.onEvent(event);
      });
      // Every end has a status; the error event repeats the bad ones and must have a listener.
      stream.on('error', () => {});
      stream.on('status', (status) => {
        if (over) return;
        over = true;
        listener.onEnd(status.code === grpc.OK ? undefined : toRuntimeError(status));
      });
      return () => {
        over = true;
        stream.cancel();
      };
    },
  };
}

/** How much earlier than here a deadline may pass for the runtime; gRPC rounds it, and the event loop may be late. */
const CLOCKS_APART_MS = 50;
const IMAGE_ID = /^(?:sha256:)?[0-9a-f]{64}$/;

/** containerd names the content in image_ref, CRI-O in image_id, and both repeat what kubelet asked for in image.image. */
function imageIdOf({ imageId, imageRef, image }: ListedContainer): string | undefined {
  return [imageId, imageRef, image?.image ?? ''].find((candidate) => IMAGE_ID.test(candidate));
}

/** Old CRI-O names an image by repository and digest alone; the image store knows its id. By image_ref. */
async function resolveImageIds(
  containers: readonly ListedContainer[],
  imageStatus: Runtime['imageStatus'],
): Promise<ReadonlyMap<string, string>> {
  const unknown = new Set(
    containers.filter((c) => imageIdOf(c) === undefined && c.imageRef !== '').map((c) => c.imageRef),
  );
  const ids = new Map<string, string>();
  for (const imageRef of unknown) {
    const image = await imageStatus(imageRef);
    if (image !== undefined) ids.set(imageRef, image.id);
  }
  return ids;
}

function toRuntimeContainer(
  container: ListedContainer,
  imageIds: ReadonlyMap<string, string>,
): RuntimeContainer {
  const label = (name: string) => container.labels[`io.kubernetes.${name}`] ?? '';
  return {
    id: container.id,
    podSandboxId: container.podSandboxId,
    state: container.state,
    createdAt: container.createdAt,
    // An image that is gone keeps the name it has: no record will match it.
    imageRef: imageIdOf(container) ?? imageIds.get(container.imageRef) ?? container.imageRef,
    containerName: label('container.name'),
    pod: { namespace: label('pod.namespace'), name: label('pod.name'), uid: label('pod.uid') },
    attempt: container.metadata?.attempt ?? 0,
  };
}
