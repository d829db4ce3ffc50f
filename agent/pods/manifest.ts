import { createHash } from 'node:crypto';
import { z } from 'zod';
import { ImageNameError, ManifestError } from '../errors.ts';
import { parseImageName } from '../image/reference.ts';
import type { ContainerKind, ImageVolume, Pod, PodContainer, PullPolicy, Secret } from './pod-source.ts';
import { terminationOf } from './termination.ts';

/**
 * Kubernetes API objects to the agent's own types. Only the fields that a verdict needs are looked at; what
 * the API server would have defaulted (namespace, pull policy) is defaulted here the same way.
 */

/** Kubelet's own annotations (pkg/kubelet/types/pod_update.go). */
const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';
const SOURCE_ANNOTATION = 'kubernetes.io/config.source';

const metadata = z.object({
  name: z.string().min(1).max(253),
  namespace: z.string().min(1).max(63).default('default'),
  uid: z.string().max(253).default(''),
  // Not all of them: a tenant may write thousands.
  annotations: z
    .object({ [MIRROR_ANNOTATION]: z.string().optional(), [SOURCE_ANNOTATION]: z.string().optional() })
    .nullish(),
});

/** The keys that a pull secret has its docker config under; nothing else of a secret is looked at. */
const secretData = z
  .object({ '.dockerconfigjson': z.string().optional(), '.dockercfg': z.string().optional() })
  .nullish();

const pullPolicy = z.enum(['Always', 'IfNotPresent', 'Never']).optional();

const containerSpec = z.object({
  name: z.string().min(1).max(63),
  image: z.string().default(''),
  imagePullPolicy: pullPolicy,
  volumeMounts: z.array(z.object({ name: z.string() })).nullish(),
});

const volumeSpec = z.object({
  name: z.string(),
  image: z.object({ reference: z.string().default(''), pullPolicy }).nullish(),
});

const localObjectReferences = z.array(z.object({ name: z.string().default('') })).nullish();

/** What cannot be read of a pod's end counts as not said; the pod is judged all the same. */
const podMetadata = metadata.extend({
  deletionTimestamp: z.iso.datetime({ offset: true }).optional().catch(undefined),
  deletionGracePeriodSeconds: z.int().nonnegative().optional().catch(undefined),
});

const podObject = z.object({
  metadata: podMetadata,
  status: z.object({ phase: z.string().optional() }).optional().catch(undefined),
  spec: z.object({
    serviceAccountName: z.string().nullish(),
    imagePullSecrets: localObjectReferences,
    containers: z.array(containerSpec),
    initContainers: z.array(containerSpec).nullish(),
    ephemeralContainers: z.array(containerSpec).nullish(),
    volumes: z.array(volumeSpec).nullish(),
  }),
});

const secretObject = z.object({
  metadata,
  type: z.string().default('Opaque'),
  data: secretData,
  stringData: secretData,
});

const serviceAccountObject = z.object({ metadata, imagePullSecrets: localObjectReferences });

export type ServiceAccount = {
  readonly namespace: string;
  readonly name: string;
  readonly imagePullSecrets: readonly string[];
};

/**
 * A v1 Pod. A mirror pod gets the uid of the static pod it mirrors, which is what the runtime's labels carry.
 *
 * @throws ManifestError podMalformed
 */
export function podFromObject(object: unknown): Pod {
  const { metadata: meta, spec, status } = parse(podObject, object, 'podMalformed');
  const volumes = imageVolumes(spec.volumes);
  const termination = terminationOf({ ...meta, phase: status?.phase });
  const mirrored = meta.annotations?.[MIRROR_ANNOTATION];
  return {
    namespace: meta.namespace,
    name: meta.name,
    uid: mirrored ?? meta.uid,
    // Admission gives every pod an account, but for mirror pods.
    serviceAccountName: spec.serviceAccountName || (mirrored === undefined ? 'default' : ''),
    imagePullSecrets: names(spec.imagePullSecrets),
    containers: [
      ...containers(spec.initContainers, 'initContainer', volumes),
      ...containers(spec.containers, 'container', volumes),
      ...containers(spec.ephemeralContainers, 'ephemeralContainer', volumes),
    ],
    ...(mirrored !== undefined && { configSource: mirroredSource(meta.annotations) }),
    ...(termination && { termination }),
  };
}

/** Only a mirror pod's annotation is kubelet's word; on another pod its owner may have written anything. */
function mirroredSource(annotations: z.infer<typeof metadata>['annotations']): 'file' | 'http' {
  return annotations?.[SOURCE_ANNOTATION] === 'http' ? 'http' : 'file';
}

/**
 * A v1 Secret. `resourceVersion` is made from the content, so that an edited file counts as changed whatever
 * its metadata says.
 *
 * @param readAtMs see Secret
 * @throws ManifestError secretMalformed, also where a value is not base64
 */
export function secretFromObject(object: unknown, readAtMs: number): Secret {
  const { metadata: meta, type, data, stringData } = parse(secretObject, object, 'secretMalformed');
  const decoded = new Map<string, Buffer>();
  for (const [key, value = ''] of Object.entries(data ?? {})) decoded.set(key, decodeBase64(key, value));
  for (const [key, value = ''] of Object.entries(stringData ?? {})) {
    decoded.set(key, Buffer.from(value, 'utf8'));
  }
  return {
    namespace: meta.namespace,
    name: meta.name,
    uid: meta.uid || `${meta.namespace}/${meta.name}`,
    resourceVersion: contentVersion(type, decoded),
    type,
    data: decoded,
    readAtMs,
  };
}

/**
 * A v1 ServiceAccount.
 *
 * @throws ManifestError serviceAccountMalformed
 */
export function serviceAccountFromObject(object: unknown): ServiceAccount {
  const { metadata: meta, imagePullSecrets } = parse(serviceAccountObject, object, 'serviceAccountMalformed');
  return { namespace: meta.namespace, name: meta.name, imagePullSecrets: names(imagePullSecrets) };
}

function containers(
  specs: z.infer<typeof containerSpec>[] | null | undefined,
  kind: ContainerKind,
  volumes: ReadonlyMap<string, ImageVolume>,
): PodContainer[] {
  return (specs ?? []).map((spec) => ({
    name: spec.name,
    image: spec.image,
    imagePullPolicy: spec.imagePullPolicy ?? defaultPullPolicy(spec.image),
    kind,
    imageVolumes: mountedOf(spec.volumeMounts, volumes),
  }));
}

function imageVolumes(specs: z.infer<typeof volumeSpec>[] | null | undefined): Map<string, ImageVolume> {
  const volumes = new Map<string, ImageVolume>();
  for (const { name, image: source } of specs ?? []) {
    // An empty reference is for a controller to fill in; kubelet starts no container that mounts it until
    // then.
    if (!source || source.reference === '') continue;
    const image = source.reference;
    volumes.set(name, { name, image, imagePullPolicy: source.pullPolicy ?? defaultPullPolicy(image) });
  }
  return volumes;
}

/** Each volume once, however often the container mounts it. */
function mountedOf(
  mounts: readonly { name: string }[] | null | undefined,
  volumes: ReadonlyMap<string, ImageVolume>,
): ImageVolume[] {
  const names = new Set((mounts ?? []).map(({ name }) => name));
  return [...volumes.values()].filter(({ name }) => names.has(name));
}

/**
 * The API server's default (pkg/apis/core/v1 SetDefaults_Container): Always for the tag latest, else
 * IfNotPresent.
 */
function defaultPullPolicy(image: string): PullPolicy {
  try {
    return parseImageName(image).tag === 'latest' ? 'Always' : 'IfNotPresent';
  } catch (error) {
    if (error instanceof ImageNameError) return 'IfNotPresent';
    throw error;
  }
}

function names(references: { name: string }[] | null | undefined): string[] {
  return (references ?? []).map((reference) => reference.name).filter((name) => name !== '');
}

function decodeBase64(key: string, value: string): Buffer {
  const compact = value.replace(/[\r\n]/g, '');
  if (compact.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(compact)) {
    throw new ManifestError('secretMalformed', `data[${JSON.stringify(key)}] is not base64`);
  }
  return Buffer.from(compact, 'base64');
}

function contentVersion(type: string, data: ReadonlyMap<string, Buffer>): string {
  const hash = createHash('sha256').update(type);
  for (const key of [...data.keys()].sort()) hash.update(`\0${key}\0`).update(data.get(key) ?? '');
  return hash.digest('hex');
}

function parse<Shape extends z.ZodType>(
  shape: Shape,
  object: unknown,
  reason: ManifestError['reason'],
): z.infer<Shape> {
  const result = shape.safeParse(object);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new ManifestError(
    reason,
    `${issue?.path.join('.') || 'object'}: ${issue?.message ?? 'is malformed'}`,
  );
}
