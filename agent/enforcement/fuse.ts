/**
 * The fuse between a verdict and a stop: when stopping would become an outage, it opens, verdicts go on and
 * containers keep running. What it looks for is trouble across the node; one namespace alone must not be able to
 * open it or to keep it open, or a tenant could switch enforcement off by being denied often.
 */

export type FuseSettings = {
  /**
   * Opens only when more than this many containers would be stopped within the window, of which each namespace counts
   * for at most ceil((count + 1) / namespaces): 6 of 10 and 2 namespaces, so that the others must bring the rest.
   */
  readonly count: number;
  /** And only when all that would be stopped is more than this share (0 to 1) of the containers on the node. */
  readonly share: number;
  /** And only when they belong to at least this many namespaces. */
  readonly namespaces: number;
  readonly windowMs: number;
};

export type Fuse = {
  /** May this container be stopped? Asking counts. `onNode` is how many containers the node has now. */
  permits(subject: { readonly namespace: string; readonly key: string }, onNode: number): boolean;
  isOpen(): boolean;
};

/** Far more than a node starts within a window; beyond it the oldest are forgotten. */
const MAX_RECENT = 10_000;

/**
 * A fuse that is open as long as its settings are met by what would have been stopped within the last window, stops
 * that were permitted and those that were not alike: it closes by itself when so much of it left the window that it
 * would not open now. There is no other memory, and so nothing that a single container could keep alive.
 *
 * `key` names what is stopped across restarts (pod uid and container name): a container in a crash loop counts once.
 * `now` gives milliseconds.
 */
export function createFuse(
  settings: FuseSettings,
  now: () => number,
  onChange: (open: boolean) => void,
): Fuse {
  const mostOfOne = Math.ceil((settings.count + 1) / Math.max(1, settings.namespaces));
  /** Insertion order is time order, since a key that comes again is moved to the end. */
  const recent = new Map<string, { readonly namespace: string; readonly at: number }>();
  /** How many of `recent` each namespace has. */
  const inNamespace = new Map<string, number>();
  /** The size of `recent` with no namespace counted for more than its part. */
  let counted = 0;
  /** The share is of what the node had when it was last asked. */
  let onNodeNow = 0;
  let open = false;

  function remember(key: string, namespace: string): void {
    forget(key);
    recent.set(key, { namespace, at: now() });
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
    onChange(open);
  }

  return {
    permits({ namespace, key }, onNode) {
      onNodeNow = onNode;
      forgetOld();
      remember(key, namespace);
      decide();
      return !open;
    },
    isOpen() {
      forgetOld();
      decide();
      return open;
    },
  };
}
