import protobuf from 'protobufjs';
import { NriError } from '../errors.ts';
import { decode, encode, type Int64, messageType, toNumber } from './proto.ts';
import { readFields, tagOf, valueInMap } from './proto-fields.ts';

/** NRI `PodSandbox`, as far as it says whose container it is. */
export type NriPod = {
  readonly id: string;
  readonly name: string;
  readonly uid: string;
  readonly namespace: string;
};

/** NRI `ContainerState`; at CreateContainer it is `unknown`. */
export type NriContainerState = 'unknown' | 'created' | 'paused' | 'running' | 'stopped';

/** NRI `Container`. */
export type NriContainer = {
  readonly id: string;
  readonly podSandboxId: string;
  /** As kubelet labels it, so as the pod's spec has it; the runtime's own name for it where there is no such label. */
  readonly name: string;
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

export const runtimeService = `${PACKAGE}.Runtime`;
export const pluginService = `${PACKAGE}.Plugin`;
/** NRI `Event`: CREATE_CONTAINER is 4, and event N is bit N - 1 of the mask. */
export const CREATE_CONTAINER_MASK = 1 << (4 - 1);
/** Also of CreateContainerResponse without adjustments: a message without fields has no bytes. */
export const EMPTY = new Uint8Array(0);

const states: readonly NriContainerState[] = ['unknown', 'created', 'paused', 'running', 'stopped'];
const requestTags = {
  pod: tagOf(createContainerRequest, 'pod'),
  container: tagOf(createContainerRequest, 'container'),
};
const podTags = {
  id: tagOf(type('PodSandbox'), 'id'),
  name: tagOf(type('PodSandbox'), 'name'),
  uid: tagOf(type('PodSandbox'), 'uid'),
  namespace: tagOf(type('PodSandbox'), 'namespace'),
};
const containerTags = {
  id: tagOf(type('Container'), 'id'),
  podSandboxId: tagOf(type('Container'), 'podSandboxId'),
  name: tagOf(type('Container'), 'name'),
  state: tagOf(type('Container'), 'state'),
  labels: tagOf(type('Container'), 'labels'),
  annotations: tagOf(type('Container'), 'annotations'),
  image: tagOf(type('Container'), 'image'),
};
const imageNameTag = tagOf(type('Image'), 'name');
const synchronizeTags = {
  pods: tagOf(type('SynchronizeRequest'), 'pods'),
  containers: tagOf(type('SynchronizeRequest'), 'containers'),
  more: tagOf(type('SynchronizeRequest'), 'more'),
};
const PREPARING_RUNS = 200;
const nameLabel = Buffer.from('io.kubernetes.container.name');
/** Of containerd and of CRI-O. */
const imageAnnotations = ['io.kubernetes.cri.image-name', 'io.kubernetes.cri-o.ImageName'].map((key) =>
  Buffer.from(key),
);

type ConfigureFields = {
  readonly runtimeName: string;
  readonly runtimeVersion: string;
  readonly registrationTimeout: Int64;
  readonly requestTimeout: Int64;
};

function readPod(reader: protobuf.Reader): NriPod {
  const pod = { id: '', name: '', uid: '', namespace: '' };
  readFields(reader, reader.uint32(), (tag) => {
    if (tag === podTags.id) pod.id = reader.string();
    else if (tag === podTags.name) pod.name = reader.string();
    else if (tag === podTags.uid) pod.uid = reader.string();
    else if (tag === podTags.namespace) pod.namespace = reader.string();
    else return false;
    return true;
  });
  if (pod.id === '') throw new NriError('malformed', 'a pod without an id');
  return pod;
}

function readContainer(reader: protobuf.Reader): NriContainer {
  const read = { id: '', podSandboxId: '', name: '', state: 0, image: '' };
  let labelled = '';
  let annotated = '';
  readFields(reader, reader.uint32(), (tag) => {
    if (tag === containerTags.id) read.id = reader.string();
    else if (tag === containerTags.podSandboxId) read.podSandboxId = reader.string();
    else if (tag === containerTags.name) read.name = reader.string();
    else if (tag === containerTags.state) read.state = reader.int32();
    else if (tag === containerTags.labels) labelled = valueInMap(reader, nameLabel) ?? labelled;
    else if (tag === containerTags.annotations)
      annotated = valueInMap(reader, ...imageAnnotations) || annotated;
    else if (tag === containerTags.image) read.image = readImageName(reader);
    else return false;
    return true;
  });
  if (read.id === '') throw new NriError('malformed', 'a container without an id');
  const { id, podSandboxId } = read;
  const state = states[read.state] ?? 'unknown';
  return { id, podSandboxId, name: labelled || read.name, state, image: read.image || annotated };
}

function readImageName(reader: protobuf.Reader): string {
  let name = '';
  readFields(reader, reader.uint32(), (tag) => {
    if (tag !== imageNameTag) return false;
    name = reader.string();
    return true;
  });
  return name;
}

/** Runs `read` on untrusted bytes: whatever goes wrong in it is the sender's mistake. */
function reading<Result>(
  payload: Uint8Array,
  what: string,
  read: (reader: protobuf.Reader) => Result,
): Result {
  try {
    return read(protobuf.Reader.create(payload));
  } catch (cause) {
    if (cause instanceof NriError) throw cause;
    throw new NriError('malformed', `${payload.length} bytes are no ${what}`, { cause });
  }
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

/**
 * Reads only the fields that are used: every container waits for this, and the rest of it (mounts, environment,
 * annotations) is a hundred times as much.
 * @throws NriError `malformed`: also when the pod or the container is missing or has no id.
 */
export function decodeCreateContainer(payload: Uint8Array): { pod: NriPod; container: NriContainer } {
  return reading(payload, 'CreateContainerRequest', (reader) => {
    let pod: NriPod | undefined;
    let container: NriContainer | undefined;
    readFields(reader, reader.len, (tag) => {
      if (tag === requestTags.pod) pod = readPod(reader);
      else if (tag === requestTags.container) container = readContainer(reader);
      else return false;
      return true;
    });
    if (!pod || !container) throw new NriError('malformed', 'a container without a pod, or none at all');
    return { pod, container };
  });
}

/**
 * Code that never ran is compiled at its first run, and interpreted for the next hundreds: some ms that the first
 * containers need not wait for.
 */
export function prepareDecoders(): void {
  const labels = { 'io.kubernetes.container.name': 'name' };
  const annotations = { 'io.kubernetes.cri.image-name': 'image' };
  const pod = { id: 'pod', name: 'name', uid: 'uid', namespace: 'namespace' };
  const container = { id: 'container', name: 'name', labels, annotations, image: { name: 'image' } };
  const request = encode(createContainerRequest, { pod, container });
  for (let run = 0; run < PREPARING_RUNS; run += 1) decodeCreateContainer(request);
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
  return reading(payload, 'SynchronizeRequest', (reader) => {
    const pods: NriPod[] = [];
    const containers: NriContainer[] = [];
    let more = false;
    readFields(reader, reader.len, (tag) => {
      if (tag === synchronizeTags.pods) pods.push(readPod(reader));
      else if (tag === synchronizeTags.containers) containers.push(readContainer(reader));
      else if (tag === synchronizeTags.more) more = reader.bool();
      else return false;
      if (pods.length + containers.length > maxObjects) {
        throw new NriError(
          'tooMuchState',
          `Synchronize tells of more than ${maxObjects} pods and containers`,
        );
      }
      return true;
    });
    return { pods, containers, more };
  });
}

export function encodeSynchronized(more: boolean): Uint8Array {
  return more ? encode(synchronizeResponse, { more }) : EMPTY;
}
