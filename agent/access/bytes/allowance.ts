/**
 * How much is fetched only to be thrown away: at most so many bytes an hour for one namespace, and two images
 * at a time on the node, of different registries and for different namespaces. Whoever dawdles makes nobody
 * wait: what takes longer than half a minute gives its place to the next and goes on beside.
 */
export type Allowance = {
  /** Bytes that may still be fetched for this namespace. */
  left(namespace: string): number;
  spend(namespace: string, bytes: number): void;
  /** Waits for a place, does the work, gives the place back. */
  inPlace<Result>(who: Applicant, work: () => Promise<Result>): Promise<Result>;
};

export type Applicant = { readonly registry: string; readonly namespace: string };

export type AllowanceSettings = {
  readonly bytesPerHour: number;
  /** Milliseconds that one may keep a place. */
  readonly placeMs?: number;
};

const HOUR_MS = 3_600_000;
const PLACES = 2;
/** With those that gave their place away; more than these wait. */
const MAX_UNDER_WAY = 16;
const PLACE_MS = 30_000;
const MAX_NAMESPACES = 10_000;

type Waiting = Applicant & { readonly start: () => void };

/** @param now milliseconds, monotonic */
export function createAllowance(
  { bytesPerHour, placeMs = PLACE_MS }: AllowanceSettings,
  now: () => number,
): Allowance {
  const spent = new Map<string, { readonly bytes: number; readonly since: number }>();
  const underWay = new Set<Waiting>();
  const waiting: Waiting[] = [];
  let taken = 0;

  /** The hour that is running for this namespace; it begins with the first byte. */
  function hourOf(namespace: string): { readonly bytes: number; readonly since: number } {
    const hour = spent.get(namespace);
    return hour === undefined || now() - hour.since >= HOUR_MS ? { bytes: 0, since: now() } : hour;
  }

  function mayStart({ registry, namespace }: Applicant): boolean {
    return [...underWay].every((other) => other.registry !== registry && other.namespace !== namespace);
  }

  function serve(): void {
    while (taken < PLACES && underWay.size < MAX_UNDER_WAY) {
      const at = waiting.findIndex(mayStart);
      const [next] = at === -1 ? [] : waiting.splice(at, 1);
      if (next === undefined) return;
      next.start();
    }
  }

  /** Returns what gives the place back; it may be called more than once. */
  function takePlace(): () => void {
    taken += 1;
    let isHeld = true;
    const giveBack = () => {
      if (!isHeld) return;
      isHeld = false;
      clearTimeout(timer);
      taken -= 1;
      serve();
    };
    const timer = setTimeout(giveBack, placeMs);
    timer.unref();
    return giveBack;
  }

  return {
    left: (namespace) => Math.max(0, bytesPerHour - hourOf(namespace).bytes),
    spend(namespace, bytes) {
      const { bytes: before, since } = hourOf(namespace);
      spent.delete(namespace);
      const [oldest] = spent.keys();
      if (spent.size >= MAX_NAMESPACES && oldest !== undefined) spent.delete(oldest);
      spent.set(namespace, { bytes: before + bytes, since });
    },
    inPlace(who, work) {
      return new Promise((resolve, reject) => {
        const applicant: Waiting = {
          ...who,
          start() {
            underWay.add(applicant);
            const giveBack = takePlace();
            work()
              .finally(() => {
                underWay.delete(applicant);
                giveBack();
                serve();
              })
              .then(resolve, reject);
          },
        };
        waiting.push(applicant);
        serve();
      });
    },
  };
}
