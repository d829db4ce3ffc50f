/**
 * How much is fetched only to be thrown away: at most so many bytes an hour for one namespace, two images at a time on
 * the node, and one of each registry.
 */
export type Allowance = {
  /** Bytes that may still be fetched for this namespace. */
  left(namespace: string): number;
  spend(namespace: string, bytes: number): void;
  /** Waits for a place, does the work, gives the place back. */
  inPlace<Result>(registry: string, work: () => Promise<Result>): Promise<Result>;
};

export type AllowanceSettings = { readonly bytesPerHour: number };

const HOUR_MS = 3_600_000;
const AT_ONCE = 2;
const MAX_NAMESPACES = 10_000;

type Waiting = { readonly registry: string; readonly start: () => void };

/** @param now milliseconds, monotonic */
export function createAllowance({ bytesPerHour }: AllowanceSettings, now: () => number): Allowance {
  const spent = new Map<string, { bytes: number; since: number }>();
  const busy = new Set<string>();
  const waiting: Waiting[] = [];

  function spentBy(namespace: string): number {
    const entry = spent.get(namespace);
    return entry === undefined || now() - entry.since >= HOUR_MS ? 0 : entry.bytes;
  }

  function serve(): void {
    while (busy.size < AT_ONCE) {
      const at = waiting.findIndex(({ registry }) => !busy.has(registry));
      const [next] = at === -1 ? [] : waiting.splice(at, 1);
      if (next === undefined) return;
      busy.add(next.registry);
      next.start();
    }
  }

  return {
    left: (namespace) => Math.max(0, bytesPerHour - spentBy(namespace)),
    spend(namespace, bytes) {
      const before = spentBy(namespace);
      const since = before === 0 ? now() : (spent.get(namespace)?.since ?? now());
      const [oldest] = spent.keys();
      if (spent.size >= MAX_NAMESPACES && oldest !== undefined) spent.delete(oldest);
      spent.set(namespace, { bytes: before + bytes, since });
    },
    inPlace(registry, work) {
      return new Promise((resolve, reject) => {
        const start = () =>
          void work()
            .finally(() => {
              busy.delete(registry);
              serve();
            })
            .then(resolve, reject);
        waiting.push({ registry, start });
        serve();
      });
    },
  };
}
