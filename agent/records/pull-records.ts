import type { RecordEntry } from './entry.ts';
import type { Degraded, Write } from './rows.ts';
import type { ImagePulledRecord } from './types.ts';

/** What a write to the records changes: all that it does stands here, once. Images go by their id key. */
export type RecordChange =
  | {
      readonly change: 'record';
      readonly imageId: string;
      readonly imageRef: string;
      readonly lastUpdatedTime: number;
    }
  /** The record with all its entries. */
  | { readonly change: 'recordGone'; readonly imageId: string }
  | {
      readonly change: 'entry';
      readonly imageId: string;
      readonly trimmedImage: string;
      /** Undefined: it is gone. */
      readonly entry: RecordEntry | undefined;
    }
  | { readonly change: 'intent'; readonly image: string; readonly exists: boolean }
  | {
      readonly change: 'preloaded';
      readonly imageId: string;
      readonly repository: string;
      readonly is: boolean;
    }
  | { readonly change: 'inventoryTaken'; readonly at: number }
  /**
   * A kubelet's record file that could not be read: an image that it is named after does not count as
   * preloaded.
   */
  | { readonly change: 'unreadableFile'; readonly file: string; readonly exists: boolean };

/** What reads of the records ask. Image ids are the same with and without `sha256:`. */
export interface ReadPullRecords {
  record(imageRef: string): ImagePulledRecord | undefined;
  /** One entry of a record with the times at which it was verified. */
  entry(imageRef: string, trimmedImage: string): RecordEntry | undefined;
  /** Image id keys of all records. */
  recordIds(): Iterable<string>;
  intentExists(image: string): boolean;
  intents(): Iterable<string>;
  isPreloaded(imageRef: string, repository: string): boolean;
  /** Under which repositories this content is preloaded. */
  preloadedRepositories(imageRef: string): Iterable<string>;
  /** Image id keys of all that is preloaded. */
  preloadedIds(): Iterable<string>;
  /**
   * When the inventory was taken, ms since the epoch; undefined until it is. One that was lost was taken,
   * and is empty.
   */
  inventoryTakenAt(): number | undefined;
  unreadableFiles(): ReadonlySet<string>;
}

/**
 * Access to the records, as kubelet's PullRecordsAccessor: no rule of who may use what stands here. Two
 * implementations: one reads the rows of the database each time, the other decorates it and answers from
 * memory.
 */
export interface PullRecords extends ReadPullRecords {
  /**
   * One transaction. `plan` is given what is on record at the moment when nobody else can write any more.
   *
   * @throws RecordStoreError
   */
  write(write: Write, plan: (records: ReadPullRecords) => readonly RecordChange[]): void;
  /** Picks up what another process changed; cheap when nothing did. @throws RecordStoreError */
  refresh(): void;
  readonly degraded: Degraded | undefined;
  close(): void;
}
