import protobuf from 'protobufjs';
import { NriError } from './error.ts';
import { decode, encode, type Int64, messageType, toNumber } from './proto.ts';

/** NRI `PodSandbox`, as far as it says whose container it is. */
export type NriPod = {
  readonly id: string;
  readonly name: string;
  readonly uid: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
};

/** NRI `ContainerState`; at CreateContainer it is `unknown`. */
export type NriContainerState = 'unknown' | 'created' | 'paused' | 'running' | 'stopped';

/** NRI `Container`. */
export type NriContainer = {
  readonly id: string;
  readonly podSandboxId: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: NriContainerState;
  /**
   * Which image the runtime says it is; empty when it does not say. May be another name of the same content than
   * the pod's own, so no verdict may rest on it.
   */
  readonly image: string;
};

/** What the runtime says of itself when it configures the plugin. */
export type NriConfiguration = {
  readonly runtimeName: string;
  readonly runtimeVersion: string;
  /** Milliseconds; 0 when an older runtime does not say. */
  readonly registrationTimeoutMs: number;
  /** Milliseconds within which every request is to be answered, or the plugin is dropped; 0 as above. */
  readonly requestTimeoutMs: number;
};

const PACKAGE = 'nri.pkg.api.v1alpha1';
const type = (name: string): protobuf.Type => messageType(`${PACKAGE}.${name}`);
const registerPluginRequest = type('RegisterPluginRequest');
const configureRequest = type('ConfigureRequest');
const configureResponse = type('ConfigureResponse');
const synchronizeResponse = type('SynchronizeResponse');
const createContainerRequest = type('CreateContainerRequest');
const podSandbox = type('PodSandbox');
const container = type('Container');

export const runtimeService = `${PACKAGE}.Runtime`;
export const pluginService = `${PACKAGE}.Plugin`;
/** NRI `Event`: CREATE_CONTAINER is 4, and event N is bit N - 1 of the mask. */
export const CREATE_CONTAINER_MASK = 1 << (4 - 1);
/** Also of CreateContainerResponse without adjustments: a message without fields has no bytes. */
export const EMPTY = new Uint8Array(0);

const states: readonly NriContainerState[] = ['unknown', 'created', 'paused', 'running', 'stopped'];
const imageAnnotations = ['io.kubernetes.cri.image-name', 'io.kubernetes.cri-o.ImageName'];

type PodFields = NriPod;
type ContainerFields = Omit<NriContainer, 'state' | 'image'> & {
  readonly state: number;
  readonly image: { readonly name: string } | null;
};
type CreateContainerFields = { readonly pod: PodFields | null; readonly container: ContainerFields | null };
type ConfigureFields = {
  readonly runtimeName: string;
  readonly runtimeVersion: string;
  readonly registrationTimeout: Int64;
  readonly requestTimeout: Int64;
};

function toPod({ id, name, uid, namespace, labels, annotations }: PodFields): NriPod {
  if (id === '') throw new NriError('malformed', 'a pod without an id');
  return { id, name, uid, namespace, labels, annotations };
}

function toContainer(fields: ContainerFields): NriContainer {
  const { id, podSandboxId, name, labels, annotations } = fields;
  if (id === '') throw new NriError('malformed', 'a container without an id');
  const state = states[fields.state] ?? 'unknown';
  return { id, podSandboxId, name, labels, annotations, state, image: imageName(fields) };
}

function imageName({ image, annotations }: ContainerFields): string {
  if (image !== null && image.name !== '') return image.name;
  for (const key of imageAnnotations) {
    const name = annotations[key];
    if (name !== undefined && name !== '') return name;
  }
  return '';
}

export function encodeRegisterPlugin(pluginName: string, pluginIdx: string): Uint8Array {
  return encode(registerPluginRequest, { pluginName, pluginIdx });
}

/** @throws NriError `malformed` */
export function decodeConfigure(payload: Uint8Array): NriConfiguration {
  const told = decode<ConfigureFields>(configureRequest, payload);
  return {
    runtimeName: told.runtimeName,
    runtimeVersion: told.runtimeVersion,
    registrationTimeoutMs: toNumber(told.registrationTimeout),
    requestTimeoutMs: toNumber(told.requestTimeout),
  };
}

/** `events`: a mask such as {@link CREATE_CONTAINER_MASK}; 0 would subscribe to all of them. */
export function encodeConfigured(events: number): Uint8Array {
  return encode(configureResponse, { events });
}

/** @throws NriError `malformed`: also when the pod or the container is missing or has no id. */
export function decodeCreateContainer(payload: Uint8Array): { pod: NriPod; container: NriContainer } {
  const { pod, container: created } = decode<CreateContainerFields>(createContainerRequest, payload);
  if (pod === null || created === null)
    throw new NriError('malformed', 'a container without a pod, or none at all');
  return { pod: toPod(pod), container: toContainer(created) };
}

/** protobufjs compiles its decoders at first use: some ms that the first container need not wait for. */
export function prepareDecoders(): void {
  const labels = { name: 'value' };
  const pod = { id: 'pod', labels, annotations: labels };
  const created = { id: 'container', labels, annotations: labels, image: { name: 'image' } };
  decodeCreateContainer(encode(createContainerRequest, { pod, container: created }));
}

/** One part of what exists; `more` says that further parts follow. */
export type SynchronizePart = {
  readonly pods: readonly NriPod[];
  readonly containers: readonly NriContainer[];
  readonly more: boolean;
};

/**
 * Reads the fields of SynchronizeRequest one by one, because a list of empty messages takes two bytes each and
 * would grow to a hundred times its size before anybody could count it.
 * @param maxObjects pods and containers together
 * @throws NriError `malformed`, `tooMuchState`
 */
export function decodeSynchronize(payload: Uint8Array, maxObjects: number): SynchronizePart {
  const pods: NriPod[] = [];
  const containers: NriContainer[] = [];
  let more = false;
  const reader = protobuf.Reader.create(payload);
  try {
    while (reader.pos < reader.len) {
      const tag = reader.uint32();
      if (tag === POD_TAG) pods.push(toPod(decode(podSandbox, reader, reader.uint32())));
      else if (tag === CONTAINER_TAG) {
        containers.push(toContainer(decode(container, reader, reader.uint32())));
      } else if (tag === MORE_TAG) more = reader.bool();
      else reader.skipType(tag & 7, 0, tag >>> 3);
      if (pods.length + containers.length > maxObjects) {
        throw new NriError(
          'tooMuchState',
          `Synchronize tells of more than ${maxObjects} pods and containers`,
        );
      }
    }
  } catch (cause) {
    if (cause instanceof NriError) throw cause;
    throw new NriError('malformed', `${payload.length} bytes are no SynchronizeRequest`, { cause });
  }
  return { pods, containers, more };
}

// Field number times 8 and the wire type: 2 for a message, 0 for a bool.
const POD_TAG = (1 << 3) | 2;
const CONTAINER_TAG = (2 << 3) | 2;
const MORE_TAG = 3 << 3;

export function encodeSynchronized(more: boolean): Uint8Array {
  return more ? encode(synchronizeResponse, { more }) : EMPTY;
}
