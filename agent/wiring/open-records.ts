import type { ShownStore } from '../access/bytes/image-ledger.ts';
import type { MatchStore } from '../access/bytes/layer-match.ts';
import type { StandingOfNamespaces } from '../access/renewal/gone-namespaces.ts';
import type { StandingStore } from '../access/standing.ts';
import type { FuseState } from '../enforcement/fuse-keeper.ts';
import { RecordStoreError } from '../errors.ts';
import type { RecordStore } from '../records/record-store.ts';
import { readFuseReset, readSavedFuse, writeSavedFuse } from '../records/saved-fuse.ts';
import { type RuntimeRegistries, writeSavedRuntimeRegistries } from '../records/saved-runtime-registries.ts';
import { type AgentLock, acquireAgentLock } from '../records/sqlite/agent-lock.ts';
import { type OpenedRecordStore, openRecordStore } from '../records/sqlite/open.ts';
import type { FirstSight } from '../runtime/container-ledger.ts';
import type { RuntimeContainer } from '../runtime/runtime.ts';
import type { Log } from '../telemetry/log.ts';

/**
 * Everything on record, as the rest of the agent wants it. What cannot be written is reported and costs no
 * verdict.
 */
export type Records = {
  readonly store: RecordStore;
  readonly keyedHash: (credentialHash: string) => string;
  readonly standing: StandingStore & StandingOfNamespaces;
  readonly shown: ShownStore;
  readonly matched: MatchStore;
  readonly fuseState: FuseState;
  readonly containers: KnownContainers;
  saveRuntimeRegistries(registries: RuntimeRegistries): void;
  /** Forgets what is known about images that are not among these. */
  prune(imageRefs: readonly string[]): void;
  close(): void;
};

/** Which containers ran before this run of the agent, by what is on record and not by any clock. */
export type KnownContainers = {
  /** An earlier run of the agent has seen it, or it was there when the agent first came to the node. */
  wasSeen(id: string): boolean;
  seen(
    container: Pick<RuntimeContainer, 'id' | 'imageRef' | 'pod'>,
    sight: Pick<FirstSight, 'preexisting'>,
  ): void;
  /** All that run have been seen: from now on, what is not on record is new. */
  firstListEnded(): void;
  keepOnly(ids: ReadonlySet<string>): void;
};

const FIRST_SIGHT = 'firstSight';
/** In the place of a name: a container that was there first has standing with its content under any. */
const ANY_NAME = '*';

/**
 * Opens the records of this node for an agent, and waits for another agent that has them.
 *
 * @throws RecordStoreError where they can never be used
 */
export async function openRecords(
  stateDir: string,
  log: Log,
  onRecordStoreError: (error: RecordStoreError) => void,
): Promise<Records> {
  const lock = await lockStateDirectory(stateDir, log);
  const opened = openRecordStore({
    stateDir,
    onNotice: (notice) => log.warn({ notice: notice.kind }, notice.message),
  });
  const { store, keyedHash } = opened;

  const attempt = (write: () => void): void => {
    try {
      write();
    } catch (error) {
      if (!(error instanceof RecordStoreError)) throw error;
      onRecordStoreError(error);
    }
  };

  return {
    store,
    keyedHash,
    containers: containersOf(opened, attempt),
    standing: standingOf(opened, attempt),
    shown: shownOf(opened, attempt),
    matched: matchedOf(opened, attempt),
    fuseState: fuseStateOf(opened, attempt),
    saveRuntimeRegistries: (registries) =>
      attempt(() => writeSavedRuntimeRegistries(opened.savedState, registries)),
    prune: (imageRefs) => attempt(() => opened.standing.prune(imageRefs)),
    close() {
      store.close();
      lock?.release();
    },
  };
}

type Attempt = (write: () => void) => void;

function standingOf({ standing }: OpenedRecordStore, attempt: Attempt): StandingStore & StandingOfNamespaces {
  return {
    has: (about) =>
      standing.hasSome(about) ||
      (about.imageRef !== undefined && standing.hasSome({ ...about, trimmedImage: ANY_NAME })),
    add: (about) => attempt(() => standing.add({ ...about, since: Date.now(), by: 'granted' })),
    revoke: (imageRefs) => attempt(() => standing.revoke(imageRefs)),
    namespaces: () => [...new Set(standing.list().map(({ namespace }) => namespace))],
    forgetNamespace(namespace) {
      let forgotten = 0;
      attempt(() => {
        forgotten = standing.forget({ namespace });
      });
      return forgotten;
    },
  };
}

function containersOf(
  { savedState, seenContainers, standing }: OpenedRecordStore,
  attempt: Attempt,
): KnownContainers {
  // A lost database is a first sight of what runs at that moment.
  let isFirstSight = savedState.read(FIRST_SIGHT) === undefined;
  return {
    wasSeen: (id) => isFirstSight || seenContainers.has(id),
    seen({ id, imageRef, pod: { namespace } }, { preexisting }) {
      attempt(() => seenContainers.add(id));
      if (!isFirstSight || !preexisting) return;
      const by = 'firstRun' as const;
      attempt(() => standing.add({ namespace, imageRef, trimmedImage: ANY_NAME, since: Date.now(), by }));
    },
    firstListEnded() {
      if (!isFirstSight) return;
      isFirstSight = false;
      attempt(() => savedState.write(FIRST_SIGHT, 'over'));
    },
    keepOnly: (ids) => attempt(() => seenContainers.prune(ids)),
  };
}

function shownOf({ shownPieces }: OpenedRecordStore, attempt: Attempt): ShownStore {
  return {
    holding: shownPieces.holding,
    isKnown: shownPieces.isKnown,
    hosts: (piece) => shownPieces.sightings(piece).map(({ host }) => host),
    add: (registry, pieces, holding) =>
      attempt(() => shownPieces.add(registry, pieces, { firstSeenAt: Date.now(), holding })),
    keepOnly: (pieces) => attempt(() => shownPieces.keepOnly(pieces)),
  };
}

function matchedOf({ matchedNames }: OpenedRecordStore, attempt: Attempt): MatchStore {
  return {
    isMatched: (imageId, repository) => matchedNames.has({ imageId, repository }),
    match: (names) => attempt(() => matchedNames.add(names)),
    keepOnly: (imageIds) => attempt(() => matchedNames.keepOnly(imageIds)),
  };
}

function fuseStateOf({ savedState }: OpenedRecordStore, attempt: Attempt): FuseState {
  return {
    load() {
      return readSavedFuse(savedState);
    },
    save: (saved) => attempt(() => writeSavedFuse(savedState, saved)),
    lastReset() {
      try {
        return readFuseReset(savedState);
      } catch (error) {
        if (!(error instanceof RecordStoreError)) throw error;
        return undefined;
      }
    },
  };
}

/**
 * One agent works with a state directory; the next one waits. Undefined where the directory takes no lock.
 */
async function lockStateDirectory(stateDir: string, log: Log): Promise<AgentLock | undefined> {
  try {
    return await acquireAgentLock(stateDir, {
      onWaiting: (heldBy) =>
        log.warn({ stateDir, heldBy }, 'another agent has the state directory: waiting until it ends'),
    });
  } catch (error) {
    if (!(error instanceof RecordStoreError)) throw error;
    log.warn({ reason: error.reason, err: error }, 'the state directory cannot be locked');
    return undefined;
  }
}
