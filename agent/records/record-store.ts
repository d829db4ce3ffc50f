import type { ImagePullCredentials, ImagePulledRecord, ImagePullSecret, PresentImage } from './types.ts';

/**
 * The record of pulls: kubelet's PullManager's bookkeeping behind one interface. Reads are answered from
 * memory and never touch the disk; every write is durable when it returns, or throws `RecordStoreError`
 * and has changed nothing, in memory or on disk.
 *
 * Image ids are compared with and without `sha256:`.
 */
export interface RecordStore {
  /** The record of this imageRef, or undefined where there is none or where it cannot be read. */
  pulledRecord(imageRef: string): ImagePulledRecord | undefined;
  /** Has a pull of this image (the container's image text) started without being settled? */
  pullIntentExists(image: string): boolean;
  /** Was this content on the node, under this normalized repository, when the inventory was taken? */
  isPreloaded(imageRef: string, repository: string): boolean;
  /** False until an inventory was taken; then kubelet's own rule (neither record nor intent) is what preloaded means. */
  readonly hasInventory: boolean;

  /** A pull of `image` is about to start: durable before the pull. Counted per image while in flight. */
  recordPullIntent(image: string): void;
  /** That pull succeeded: merges who may use it into the record and ends one intent, in one transaction. */
  recordImagePulled(image: string, imageRef: string, credentials: ImagePullCredentials): void;
  /** That pull failed: ends one intent. */
  recordImagePullFailed(image: string): void;
  /** Merges credentials into the record of (imageRef, trimmed image) without an intent, as a check does on a match. */
  mergeCredentials(image: string, imageRef: string, credentials: ImagePullCredentials): void;
  /** The registry refused what a record vouched for: that secret (by coordinates) leaves the entry. */
  revokeSecret(
    imageRef: string,
    trimmedImage: string,
    secret: Pick<ImagePullSecret, 'namespace' | 'name' | 'uid'>,
  ): void;

  /** After a restart: dangling intents whose image the runtime has become records without credentials; all intents end. */
  reconcilePullIntents(present: readonly PresentImage[]): void;
  /** First run only: what is on the node now is preloaded. A second call does nothing and returns false. */
  takeInventory(present: readonly PresentImage[]): boolean;
  /** Forgets records and inventory of images that the runtime no longer has, but not records written since `before` (ms epoch). Returns how many images were forgotten. */
  pruneUnknownRecords(present: readonly string[], before: number): number;
  /** Forgets what is known of an imageRef, or of one trimmed image under it. Returns whether there was anything. */
  forget(imageRef: string, trimmedImage?: string): boolean;

  /** All records, ordered by imageRef. */
  listPulledRecords(): readonly ImagePulledRecord[];
  /** Images with an unsettled pull, sorted. */
  listPullIntents(): readonly string[];
  /** Picks up what another process (the command line) changed in the database; cheap when nothing did. */
  refresh(): void;
  close(): void;
}
