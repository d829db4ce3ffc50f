import { type ClientReadableStream, status as grpc } from '@grpc/grpc-js';
import { classifyPullError } from './classify-pull-error.ts';
import { readBlob, readBlobsOfPieces } from './content-store.ts';
import { encodingsOf } from './credential-encodings.ts';
import { grpcStatus, openCriChannel, toRuntimeError } from './cri-channel.ts';
import {
  type ContainerEvent,
  containerStatusResponse,
  imageStatusResponse,
  listContainersResponse,
  listImagesResponse,
  parseContainerEvent,
  podSandboxStatusResponse,
  pullImageResponse,
  stopContainerResponse,
  verboseImageStatusResponse,
  versionResponse,
} from './cri-messages.ts';
import { criMethod, subscribeMethod } from './cri-proto.ts';
import type { EventListener } from './event-stream.ts';
import { readImagePieces } from './image-pieces.ts';
import { toRuntimeContainers } from './listed-containers.ts';
import type { Runtime, SandboxConfig } from './runtime.ts';

/** The runtime's streams of events; each gives how to end it. */
export interface RuntimeEvents {
  /** CRI GetContainerEvents. */
  subscribe(listener: EventListener<ContainerEvent>): () => void;
  /**
   * A name of an image came, went or means other content now; which one is not told. containerd's own
   * service (api/services/events/v1), where CRI has none; its CRI plugin follows the same events.
   */
  subscribeToImages(listener: EventListener<void>): () => void;
}

export type CriClient = Runtime &
  RuntimeEvents & {
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
  /**
   * The hosts (with their ports, if they have one) that are a registry itself, rather than a mirror of it, as
   * the runtime's configuration has them. Without it only the host in the image's name counts.
   */
  readonly hostsOfRegistry?: (registry: string) => Promise<readonly string[]>;
};

/**
 * The runtime over CRI v1. Connects in the background: a call while the runtime is away throws
 * `unreachable`.
 */
export function createCriClient(options: CriClientOptions): CriClient {
  const channel = openCriChannel(options.socketPath, options.onConnectionChange ?? (() => {}));
  const timeoutMs = options.callTimeoutMs ?? 10_000;
  const hostsOfRegistry = options.hostsOfRegistry ?? hostsByDefault;

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

    async imagePieces(imageId) {
      const request = { image: { image: imageId }, verbose: true };
      const answer = await channel.call(
        'ImageService',
        'ImageStatus',
        request,
        verboseImageStatusResponse,
        timeoutMs,
      );
      // The runtimes take the beginning of an id, or a name, for the id.
      if (answer.image?.id !== imageId) return { pieces: undefined, reason: 'imageAbsent' };
      return readImagePieces(imageId, answer.info);
    },

    blobsOfPieces: (pieces) => readBlobsOfPieces(channel, pieces, timeoutMs),
    blob: (digest, maxBytes) => readBlob(channel, digest, maxBytes, timeoutMs),

    async pullImage(pull) {
      const { image, auth, sandbox, timeoutMs: pullTimeoutMs } = pull;
      const request = {
        image: {
          image,
          annotations: pull.annotations ?? sandbox?.annotations ?? {},
          runtimeHandler: pull.runtimeHandler ?? '',
        },
        ...(auth && { auth: { username: auth.username, password: auth.password } }),
        ...(sandbox && { sandboxConfig: toSandboxConfig(sandbox) }),
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
        const secrets = auth ? encodingsOf(auth) : [];
        const itself = await hostsOfRegistry(registryOf(image));
        return classifyPullError({ code, message: status?.details ?? '', call, secrets }, (host) =>
          itself.includes(host),
        );
      }
    },

    async sandbox(podSandboxId) {
      try {
        const answer = await channel.call(
          'RuntimeService',
          'PodSandboxStatus',
          { podSandboxId },
          podSandboxStatusResponse,
          timeoutMs,
        );
        // The runtimes take the beginning of an id for the id.
        if (answer.status?.id !== podSandboxId || answer.status.metadata === null) return undefined;
        const { id, metadata, labels, annotations, runtimeHandler } = answer.status;
        const configSource = annotations['kubernetes.io/config.source'];
        return { id, metadata, labels, annotations, runtimeHandler, configSource };
      } catch (error) {
        if (grpcStatus(error)?.code === grpc.NOT_FOUND) return undefined;
        throw error;
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
      return toRuntimeContainers(listed, imageStatus);
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

    subscribe: (listener) =>
      hear(channel.stream(containerEvents, {}), listener, (message) => {
        const event = parseContainerEvent(message);
        if (event === undefined) listener.onMalformed();
        else listener.onEvent(event);
      }),
    subscribeToImages: (listener) =>
      hear(channel.stream(subscribeMethod, { filters: IMAGE_EVENTS }), listener, () => listener.onEvent()),
  };
}

/** Every end of a stream is told once, unless it was ended here. */
function hear(
  stream: ClientReadableStream<object>,
  { onEnd }: Pick<EventListener<never>, 'onEnd'>,
  onMessage: (message: object) => void,
): () => void {
  let over = false;
  stream.on('data', (message: object) => {
    if (!over) onMessage(message);
  });
  // Every end has a status; the error event repeats the bad ones and must have a listener.
  stream.on('error', () => {});
  stream.on('status', (status) => {
    if (over) return;
    over = true;
    onEnd(status.code === grpc.OK ? undefined : toRuntimeError(status));
  });
  return () => {
    over = true;
    stream.cancel();
  };
}

const containerEvents = criMethod('RuntimeService', 'GetContainerEvents');
/** What the CRI plugin itself hears of images (internal/cri/server/events, 2.x; pkg/cri/server, 1.6). */
const IMAGE_EVENTS = ['namespace==k8s.io,topic~="^/images/"'];

/**
 * How much earlier than here a deadline may pass for the runtime; gRPC rounds it, and the event loop may be
 * late.
 */
const CLOCKS_APART_MS = 50;

/** The sandbox may be a `Sandbox`, which has more fields than go on the wire. */
function toSandboxConfig({ metadata, labels, annotations }: SandboxConfig): SandboxConfig {
  return { metadata, labels, annotations };
}

/** docker.io is registry-1.docker.io, all others are themselves. */
async function hostsByDefault(registry: string): Promise<readonly string[]> {
  return registry === 'docker.io' ? [registry, 'registry-1.docker.io'] : [registry];
}

/** The registry of an image name, in short form or not (distribution/reference, splitDockerDomain). */
function registryOf(image: string): string {
  const first = image.slice(0, Math.max(0, image.indexOf('/')));
  const isHost = first.includes('.') || first.includes(':') || first === 'localhost';
  return isHost ? first : 'docker.io';
}
