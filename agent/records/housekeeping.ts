import { RecordStoreError } from '../errors.ts';
import { imageIdKey } from '../image/image-id.ts';
import type { RecordStore } from './record-store.ts';
import type { PresentImage } from './types.ts';

export type HousekeepingOptions = {
  readonly store: Pick<
    RecordStore,
    'hasInventory' | 'takeInventory' | 'reconcilePullIntents' | 'matchImportedRecords' | 'pruneUnknownRecords'
  >;
  readonly listImages: () => Promise<readonly PresentImage[]>;
  /** `verify`: what is on the node when the agent first runs does not count as preloaded. */
  readonly existingImages: 'preloaded' | 'verify';
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly onRecordStoreError: (error: RecordStoreError) => void;
  /** The first run on this node: so many images count as preloaded from now on. */
  readonly onInventoryTaken: (images: number) => void;
  /** What is kept about images that are not among these is to be forgotten. */
  readonly onPrune: (imageRefs: readonly string[]) => void;
};

export type Housekeeping = {
  /**
   * Once, before any container is judged: ends what a killed agent left open, and on the very first run
   * takes the inventory. Rejects as listImages does, and with RecordStoreError where the inventory could not
   * be written: without one, what nobody has a record of would count as preloaded.
   */
  begin(): Promise<void>;
  /** Forgets images that left the node; to be called every few minutes. Rejects as listImages does. */
  prune(): Promise<number>;
};

/** Keeps records and inventory in step with the images that the runtime has. */
export function createHousekeeping(options: HousekeepingOptions): Housekeeping {
  const { store, now } = options;
  let seenLastTime: ReadonlySet<string> | undefined;

  function write<Result>(work: () => Result): Result | undefined {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof RecordStoreError)) throw error;
      options.onRecordStoreError(error);
      return undefined;
    }
  }

  return {
    async begin() {
      const present = await options.listImages();
      const preloaded = options.existingImages === 'verify' ? [] : present;
      // First, because an image with a record is not preloaded.
      write(() => store.matchImportedRecords(present));
      const isFirst = !store.hasInventory;
      store.takeInventory(preloaded);
      if (isFirst) options.onInventoryTaken(preloaded.length);
      write(() => store.reconcilePullIntents(present));
    },
    async prune() {
      const before = now();
      const images = await options.listImages();
      write(() => store.matchImportedRecords(images));
      const present = images.map((image) => image.id);
      const keys = new Set(present.map(imageIdKey));
      const lastTime = seenLastTime;
      seenLastTime = keys;
      // A runtime that has just started may list less than it has: only what was missing twice in a row is
      // gone.
      if (lastTime === undefined) return 0;
      const kept = [...present, ...lastTime];
      options.onPrune(kept);
      return write(() => store.pruneUnknownRecords(kept, before)) ?? 0;
    },
  };
}
