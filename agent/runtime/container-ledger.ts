import type { ContainerEvent } from './cri-messages.ts';
import type { ContainerState, RuntimeContainer } from './runtime.ts';

export type StateChange = 'started' | 'stopped' | 'deleted';

/** How the agent came to know of a container. */
export type FirstSight = {
  /** It was there before the first list of this run was complete. */
  readonly inFirstList: boolean;
  /** `inFirstList`, it has not ended, and `wasSeen` says so: an earlier run had seen it, or there was none. */
  readonly preexisting: boolean;
};

export type LedgerCallbacks = {
  readonly onContainer: (container: RuntimeContainer, sight: FirstSight) => void;
  readonly onState: (id: string, change: StateChange) => void;
  /** Once: the first complete list is taken in, and what appears from now on is new. */
  readonly onSynced?: () => void;
};

/** A list that is under way: what it can know ends when it was asked. */
export type Listing = { readonly askedAt: number };

export type ContainerLedger = {
  /** True when the container has to be looked up before anything can be said of it. */
  event(event: ContainerEvent): boolean;
  listingStarts(): Listing;
  /** Takes in an answer to ListContainers; `complete` when it held all containers. */
  listed(listing: Listing, containers: readonly RuntimeContainer[], complete: boolean): void;
  /** The list came to nothing. */
  listingFailed(listing: Listing): void;
  knows(id: string): boolean;
  /** A container that was never listed: what its events said is forgotten. */
  forget(id: string): void;
  /** True once a complete list has been taken in. */
  synced(): boolean;
  size(): number;
};

/** States only go forward; `unknown` may be a container that runs, so it ranks as one that does not yet. */
const rank: Readonly<Record<ContainerState, number>> = { created: 0, unknown: 0, running: 1, exited: 2 };

/**
 * Which containers there are: reports each once while it lives, and each change of its state once, from
 * events and lists that may arrive late, twice and in any order. No I/O, and no clock of the machine's: it
 * may be set while the agent is away. `wasSeen`: had an earlier run of the agent seen this container?
 */
export function createContainerLedger(
  callbacks: LedgerCallbacks,
  wasSeen: (id: string) => boolean,
): ContainerLedger {
  /** `at`: when it was last heard of, on the same clock as a listing's askedAt. */
  const known = new Map<string, { rank: number; at: number }>();
  /** What events said of containers that are still to be looked up. */
  const announced = new Map<string, { readonly rank: number; readonly created: boolean }>();
  /** Deleted while a list was under way that may still hold them: id -> when. */
  const deleted = new Map<string, number>();
  const listings = new Set<Listing>();
  let clock = 0;
  let synced = false;

  function raise(id: string, entry: { rank: number; at: number }, to: number): void {
    entry.at = clock;
    if (to <= entry.rank) return;
    entry.rank = to;
    callbacks.onState(id, to === rank.running ? 'started' : 'stopped');
  }

  function meet(container: RuntimeContainer): void {
    const { id } = container;
    const heard = announced.get(id) ?? { rank: rank.created, created: false };
    announced.delete(id);
    const entry = { rank: rank[container.state], at: clock };
    known.set(id, entry);
    const inFirstList = !synced;
    const hasEnded = container.state === 'exited';
    // What had ended before the agent came can be neither stopped nor refused any more.
    if (inFirstList && hasEnded && !heard.created) return;
    // Runtimes keep events that nobody took, so that an event does not tell what is new from what ran.
    callbacks.onContainer(container, { inFirstList, preexisting: inFirstList && !hasEnded && wasSeen(id) });
    raise(id, entry, heard.rank);
  }

  function gone(id: string): void {
    announced.delete(id);
    if (listings.size > 0) deleted.set(id, clock);
    if (known.delete(id)) callbacks.onState(id, 'deleted');
  }

  function finish(listing: Listing): void {
    listings.delete(listing);
    let oldest = clock + 1;
    for (const { askedAt } of listings) oldest = Math.min(oldest, askedAt);
    for (const [id, at] of deleted) if (at < oldest) deleted.delete(id);
  }

  return {
    event({ containerId: id, type, podSandboxId }) {
      if (id === podSandboxId) return false;
      clock += 1;
      if (type === 'deleted') {
        gone(id);
        return false;
      }
      if (deleted.has(id)) return false;
      const to = type === 'created' ? rank.created : type === 'started' ? rank.running : rank.exited;
      const entry = known.get(id);
      if (entry !== undefined) {
        raise(id, entry, to);
        return false;
      }
      const heard = announced.get(id);
      announced.set(id, {
        rank: Math.max(to, heard?.rank ?? rank.created),
        created: type === 'created' || heard?.created === true,
      });
      return true;
    },
    listingStarts() {
      clock += 1;
      const listing = { askedAt: clock };
      listings.add(listing);
      return listing;
    },
    listed(listing, containers, complete) {
      clock += 1;
      for (const container of containers) {
        if ((deleted.get(container.id) ?? 0) > listing.askedAt) continue;
        const entry = known.get(container.id);
        if (entry === undefined) meet(container);
        else raise(container.id, entry, rank[container.state]);
      }
      if (complete) {
        if (!synced) callbacks.onSynced?.();
        synced = true;
        const present = new Set(containers.map(({ id }) => id));
        for (const [id, { at }] of known) if (at < listing.askedAt && !present.has(id)) gone(id);
      }
      finish(listing);
    },
    listingFailed: finish,
    knows: (id) => known.has(id),
    forget(id) {
      announced.delete(id);
    },
    synced: () => synced,
    size: () => known.size,
  };
}
