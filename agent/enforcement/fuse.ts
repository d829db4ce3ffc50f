/**
 * The fuse between a verdict and a stop. When stopping would become an outage it opens: verdicts go on, and
 * containers with standing keep running. It counts and spares nothing else. A container without standing
 * never had a right to its image, so that it can neither help to open the fuse nor gain by it. And one
 * namespace alone must not be able to open the fuse or keep it open, or a tenant whose right was taken away
 * could switch enforcement off by being denied often.
 */

export type FuseSettings = {
  /**
   * Opens only when more than this many containers would be stopped within the window, of which each
   * namespace counts for at most ceil((count + 1) / namespaces): 6 of 10 and 2 namespaces, so that the others
   * must bring the rest.
   */
  readonly count: number;
  /**
   * And only when all that would be stopped is more than this share (0 to 1) of the containers on the node
   * with standing.
   */
  readonly share: number;
  /** And only when they belong to at least this many namespaces. */
  readonly namespaces: number;
  readonly windowMs: number;
};

export type FuseSubject = {
  readonly namespace: string;
  /** The same across restarts (pod uid and container name): a container in a crash loop counts once. */
  readonly key: string;
  readonly hasStanding: boolean;
};

export type Fuse = {
  /**
   * May this container be stopped, or refused? Asking counts, where the container has standing. `onNode` is
   * how many containers with standing the node has now.
   */
  permits(subject: FuseSubject, onNode: number): boolean;
  isOpen(): boolean;
  /** Forgets all that was counted; one that is open closes by that. */
  reset(): void;
  /**
   * Ms until something leaves the window, and the fuse may close by that; undefined when nothing is in it.
   */
  nextChangeInMs(): number | undefined;
  /** All that it remembers, as data. */
  snapshot(): FuseSnapshot;
};

/** Times are distances, so that no clock of one process means anything to the next. */
export type FuseSnapshot = {
  readonly isOpen: boolean;
  readonly onNode: number;
  /** What would have been stopped within the window, the oldest first. */
  readonly recent: readonly { readonly namespace: string; readonly key: string; readonly agoMs: number }[];
};

export type FuseOptions = {
  /** Milliseconds of a clock that never jumps. */
  readonly now: () => number;
  readonly onOpen: () => void;
  /** What it let run is to be judged again. */
  readonly onClose: () => void;
  /** What an earlier fuse remembered, and how long ago (ms) that was. */
  readonly restored?: { readonly snapshot: FuseSnapshot; readonly agoMs: number } | undefined;
};

/** Far more than a node starts within a window; beyond it the oldest are forgotten. */
const MAX_RECENT = 10_000;

/**
 * A fuse that is open as long as its settings are met by what would have been stopped within the last window,
 * stops that were permitted and those that were not alike: it closes by itself when so much of it left the
 * window that it would not open now. There is no other memory, and so nothing that a single container could
 * keep alive.
 */
export function createFuse(settings: FuseSettings, { now, onOpen, onClose, restored }: FuseOptions): Fuse {
  const mostOfOne = Math.ceil((settings.count + 1) / Math.max(1, settings.namespaces));
  /** Insertion order is time order, since a key that comes again is moved to the end. */
  const recent = new Map<string, { readonly namespace: string; readonly at: number }>();
  /** How many of `recent` each namespace has. */
  const inNamespace = new Map<string, number>();
  /** The size of `recent` with no namespace counted for more than its part. */
  let counted = 0;
  /** The share is of what the node had when it was last asked. */
  let onNodeNow = restored?.snapshot.onNode ?? 0;
  let open = restored?.snapshot.isOpen ?? false;

  function remember(key: string, namespace: string, at: number): void {
    forget(key);
    recent.set(key, { namespace, at });
    const size = (inNamespace.get(namespace) ?? 0) + 1;
    inNamespace.set(namespace, size);
    if (size <= mostOfOne) counted += 1;
    if (recent.size <= MAX_RECENT) return;
    for (const [oldest] of recent) {
      forget(oldest);
      return;
    }
  }

  function forget(key: string): void {
    const entry = recent.get(key);
    if (entry === undefined) return;
    recent.delete(key);
    const size = inNamespace.get(entry.namespace) ?? 0;
    if (size <= mostOfOne) counted -= 1;
    if (size > 1) inNamespace.set(entry.namespace, size - 1);
    else inNamespace.delete(entry.namespace);
  }

  function forgetOld(): void {
    const horizon = now() - settings.windowMs;
    for (const [key, { at }] of recent) {
      if (at > horizon) return;
      forget(key);
    }
  }

  function decide(): void {
    const shouldOpen =
      counted > settings.count &&
      recent.size > settings.share * Math.max(onNodeNow, recent.size) &&
      inNamespace.size >= settings.namespaces;
    if (shouldOpen === open) return;
    open = shouldOpen;
    if (open) onOpen();
    else onClose();
  }

  for (const { namespace, key, agoMs } of restored?.snapshot.recent ?? []) {
    // A wall clock that was set back in between makes nothing younger than it was.
    remember(key, namespace, now() - agoMs - Math.max(0, restored?.agoMs ?? 0));
  }

  return {
    permits({ namespace, key, hasStanding }, onNode) {
      if (!hasStanding) return true;
      onNodeNow = onNode;
      forgetOld();
      remember(key, namespace, now());
      decide();
      return !open;
    },
    isOpen() {
      forgetOld();
      decide();
      return open;
    },
    reset() {
      for (const key of [...recent.keys()]) forget(key);
      decide();
    },
    nextChangeInMs() {
      for (const { at } of recent.values()) return Math.max(0, at + settings.windowMs - now());
      return undefined;
    },
    snapshot() {
      const entries = [...recent].map(([key, { namespace, at }]) => ({ namespace, key, agoMs: now() - at }));
      return { isOpen: open, onNode: onNodeNow, recent: entries };
    },
  };
}
