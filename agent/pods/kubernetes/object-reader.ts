import type { Pod } from '../pod-source.ts';
import { isCostly, type LargeObjectReader } from './large-objects/reader.ts';
import type { PodReader } from './pod-reader.ts';
import { readWatchEvent, type WatchEvent } from './watch-event.ts';

/**
 * Pods and watch events from JSON text: what is short on this thread, what a tenant made large on another.
 * What is not understood is passed over, as the pod reader does.
 */
export type ObjectReader = Pick<PodReader, 'maxBytes' | 'tooLarge'> & {
  /** `whose`: see LargeObjectReader. */
  readPod(json: Buffer, whose: string): Promise<Pod | undefined>;
  readEvent(json: Buffer): Promise<WatchEvent | undefined>;
};

/** Containers, volumes, mounts and imagePullSecrets: each is looked at by itself, which takes longer than parsing. */
const MANY_PARTS = 100;
const PARTS = ['containers', 'initContainers', 'ephemeralContainers', 'volumes', 'imagePullSecrets'];

export function createObjectReader(pods: PodReader, large: LargeObjectReader): ObjectReader {
  /** Undefined where it is to be read elsewhere. */
  function parseShort(json: Buffer): { readonly object: unknown } | undefined {
    if (isCostly(json)) return undefined;
    const object = pods.parse(json);
    return hasManyParts(object) ? undefined : { object };
  }

  return {
    maxBytes: pods.maxBytes,
    tooLarge: pods.tooLarge,
    async readPod(json, whose) {
      const short = parseShort(json);
      if (short) return short.object === undefined ? undefined : pods.podOf(short.object);
      const read = await large.read(whose, { kind: 'pod', json });
      if (read.kind === 'pod') return read.pod;
      return pods.notUnderstood(read.kind === 'problem' ? read.message : 'a pod was not understood');
    },
    async readEvent(json) {
      const short = parseShort(json);
      if (short) return readWatchEvent(short.object, pods);
      const read = await large.read('', { kind: 'event', json });
      if (read.kind === 'event') return read.event;
      return pods.notUnderstood(read.kind === 'problem' ? read.message : 'a watch event was not understood');
    },
  };
}

/** A pod, or a watch event about one. */
function hasManyParts(object: unknown): boolean {
  const pod = member(object, 'object') ?? object;
  const spec = member(pod, 'spec');
  let parts = 0;
  for (const name of PARTS) parts += lengthOf(member(spec, name));
  if (parts > MANY_PARTS) return true;
  for (const name of PARTS.slice(0, 3)) {
    const containers = member(spec, name);
    if (!Array.isArray(containers)) continue;
    for (const container of containers) parts += lengthOf(member(container, 'volumeMounts'));
  }
  return parts > MANY_PARTS;
}

function member(object: unknown, name: string): unknown {
  return isObject(object) ? object[name] : undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function lengthOf(list: unknown): number {
  return Array.isArray(list) ? list.length : 0;
}
