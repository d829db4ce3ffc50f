/**
 * The fuse between a verdict and a stop: when stopping would become an outage, it opens, verdicts go on and
 * containers keep running. What it looks for is trouble across the node; one namespace alone must not be able to
 * open it, or a tenant could switch enforcement off by being denied often.
 */

export type FuseSettings = {
  /** Opens only when more than this many containers would be stopped within the window. */
  readonly count: number;
  /** And only when they are more than this share (0 to 1) of the containers on the node. */
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

/**
 * A fuse that opens by the settings and closes by itself once nothing would have been stopped for a whole window.
 * `key` names what is stopped across restarts (pod uid and container name): a container in a crash loop counts once.
 * `now` gives milliseconds.
 */
export function createFuse(
  settings: FuseSettings,
  now: () => number,
  onChange: (open: boolean) => void,
): Fuse {
  /** Insertion order is time order, since a key that comes again is moved to the end. */
  const recent = new Map<string, { namespace: string; at: number }>();
  let open = false;

  function forgetOld(): void {
    const horizon = now() - settings.windowMs;
    for (const [key, { at }] of recent) {
      if (at > horizon) break;
      recent.delete(key);
    }
    if (open && recent.size === 0) {
      open = false;
      onChange(false);
    }
  }

  return {
    permits(subject, onNode) {
      forgetOld();
      recent.delete(subject.key);
      recent.set(subject.key, { namespace: subject.namespace, at: now() });
      if (open) return false;
      if (recent.size <= settings.count) return true;
      if (recent.size <= settings.share * Math.max(onNode, recent.size)) return true;
      const namespaces = new Set([...recent.values()].map((entry) => entry.namespace));
      if (namespaces.size < settings.namespaces) return true;
      open = true;
      onChange(true);
      return false;
    },
    isOpen() {
      forgetOld();
      return open;
    },
  };
}
