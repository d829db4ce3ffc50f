import { randomUUID } from 'node:crypto';

/** An object of the Kubernetes API, as far as a test writes it; the server adds what is missing. */
export type KubeObject = {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
};

export type Change = {
  readonly resourceVersion: number;
  readonly resource: string;
  readonly key: string;
  readonly before: KubeObject | undefined;
  /** Undefined once it is deleted. */
  readonly after: KubeObject | undefined;
};

export type ObjectStore = {
  resourceVersion(): number;
  /** The next write gets a version after this one, as if something else had been written in the cluster. */
  setResourceVersion(version: number): void;
  /** Creates or changes; with another uid than the one there is, that one is deleted first. */
  put(resource: string, object: KubeObject): KubeObject;
  /** The object as it was last, with the version of its deletion. */
  remove(resource: string, namespace: string, name: string): KubeObject | undefined;
  get(resource: string, namespace: string, name: string): KubeObject | undefined;
  /** By key, as etcd orders them; undefined where that version was compacted. */
  list(resource: string, atVersion?: number): readonly KubeObject[] | undefined;
  changesAfter(resource: string, version: number): readonly Change[];
  /** Versions before this one are gone: lists as of then, and what follows from a continue token. */
  compactedTo(): number;
  /** Watches can begin at this version or later. */
  watchableFrom(): number;
  /** Nothing older than now can be listed any more. */
  compact(): void;
  /** Nothing older than now can be watched any more, as after a restart. */
  forgetWatchHistory(): void;
  onChange(listener: (change: Change) => void): () => void;
};

const MAX_HISTORY = 5_000;

/**
 * What etcd and the watch cache are to an API server: objects, one version counter for all, and a history.
 */
export function createObjectStore(firstVersion: number): ObjectStore {
  const objects = new Map<string, KubeObject>();
  const listeners = new Set<(change: Change) => void>();
  const history: Change[] = [];
  let version = firstVersion;
  let compacted = 0;
  let watchable = 0;

  function commit(
    resource: string,
    key: string,
    change: { before?: KubeObject | undefined; after?: KubeObject | undefined },
  ): void {
    const { before, after } = change;
    if (after) objects.set(key, after);
    else objects.delete(key);
    const committed = { resourceVersion: version, resource, key, before, after };
    history.push(committed);
    if (history.length > MAX_HISTORY) {
      const dropped = history.shift();
      compacted = Math.max(compacted, dropped?.resourceVersion ?? 0);
      watchable = Math.max(watchable, dropped?.resourceVersion ?? 0);
    }
    for (const listener of listeners) listener(committed);
  }

  function remove(resource: string, namespace: string, name: string): KubeObject | undefined {
    const key = `${resource}/${namespace}/${name}`;
    const before = objects.get(key);
    if (!before) return undefined;
    version += 1;
    const last = withVersion(before, version);
    commit(resource, key, { before: last });
    return last;
  }

  return {
    resourceVersion: () => version,
    setResourceVersion(next) {
      version = next;
      // After a restore nobody knows what came later.
      while ((history.at(-1)?.resourceVersion ?? 0) > next) history.pop();
      compacted = Math.min(compacted, next);
      watchable = Math.min(watchable, next);
    },
    put(resource, object) {
      const { name, namespace } = object.metadata;
      const key = `${resource}/${namespace}/${name}`;
      let before = objects.get(key);
      if (before && object.metadata.uid !== undefined && before.metadata.uid !== object.metadata.uid) {
        remove(resource, namespace, name);
        before = undefined;
      }
      version += 1;
      const after = withVersion(completed(object, before), version);
      commit(resource, key, { before, after });
      return after;
    },
    remove,
    get: (resource, namespace, name) => objects.get(`${resource}/${namespace}/${name}`),
    list(resource, atVersion) {
      if (atVersion !== undefined && atVersion < compacted) return undefined;
      const then = new Map(objects);
      const later = atVersion === undefined ? [] : history.filter((c) => c.resourceVersion > atVersion);
      for (const change of later.reverse()) {
        if (change.before) then.set(change.key, change.before);
        else then.delete(change.key);
      }
      return [...then]
        .filter(([key]) => key.startsWith(`${resource}/`))
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([, object]) => object);
    },
    changesAfter: (resource, after) =>
      history.filter((change) => change.resource === resource && change.resourceVersion > after),
    compactedTo: () => compacted,
    watchableFrom: () => watchable,
    compact() {
      compacted = version;
    },
    forgetWatchHistory() {
      watchable = version;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function completed(object: KubeObject, before: KubeObject | undefined): KubeObject {
  const { kind, apiVersion, ...rest } = object;
  const { name, generateName, namespace, uid, resourceVersion, generation, creationTimestamp, ...meta } =
    object.metadata;
  return {
    ...rest,
    metadata: {
      name,
      ...(generateName !== undefined && { generateName }),
      namespace,
      uid: uid ?? before?.metadata.uid ?? randomUUID(),
      resourceVersion: '',
      ...(generation !== undefined && { generation }),
      creationTimestamp: creationTimestamp ?? before?.metadata.creationTimestamp ?? now(),
      ...meta,
    },
  };
}

function withVersion(object: KubeObject, version: number): KubeObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
}

/** metav1.Time. */
function now(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, 'Z');
}
