import type { ForgetFilter, ForgetOutcome } from './forget.ts';
import type { Degraded } from './rows.ts';
import type {
  Grant,
  Grantee,
  ImagePullCredentials,
  ImagePulledRecord,
  ImagePullSecret,
  PresentImage,
} from './types.ts';

/**
 * The record of pulls: kubelet's PullManager's bookkeeping behind one interface. Reads are answered from
 * memory and never touch the disk. A write is durable when it returns; what a full, failed or read-only disk
 * does not take is kept in memory, and `degraded` says so. Otherwise a write throws `RecordStoreError`, and
 * has changed nothing.
 *
 * Image ids are compared with and without `sha256:`.
 */
export interface RecordStore {
  /** The record of this imageRef, or undefined where there is none or where it cannot be read. */
  pulledRecord(imageRef: string): ImagePulledRecord | undefined;
  /** Has a pull of this image (the container's image text) started and not ended? */
  pullIntentExists(image: string): boolean;
  /** Was this content on the node, under this normalized repository, when the inventory was taken? */
  isPreloaded(imageRef: string, repository: string): boolean;
  /**
   * False until an inventory was taken; then kubelet's own rule (neither record nor intent) is what
   * preloaded means.
   */
  readonly hasInventory: boolean;
  /**
   * When a registry last granted this; undefined where it is not granted, or since when is not known. In ms
   * since the epoch.
   */
  verifiedAt(imageRef: string, trimmedImage: string, grantee: Grantee): number | undefined;

  /** A pull of `image` is about to start: durable before the pull. Counted per image while in flight. */
  recordPullIntent(image: string): void;
  /**
   * That pull succeeded: merges who may use it into the record, verified now, and ends one intent, in one
   * transaction.
   */
  recordImagePulled(image: string, imageRef: string, credentials: ImagePullCredentials): void;
  /** That pull failed: ends one intent. */
  recordImagePullFailed(image: string): void;
  /**
   * A registry was asked without a pull, and granted it: merges who may use it into the record, verified
   * now.
   */
  recordGranted(image: string, imageRef: string, credentials: ImagePullCredentials): void;
  /**
   * Merges credentials into the record of (imageRef, trimmed image) without an intent, as a check does on a
   * match; nobody was asked, so nothing of it counts as verified now.
   */
  mergeCredentials(image: string, imageRef: string, credentials: ImagePullCredentials): void;
  /** The registry refused what a record vouched for: that secret (by coordinates) leaves the entry. */
  revokeSecret(
    imageRef: string,
    trimmedImage: string,
    secret: Pick<ImagePullSecret, 'namespace' | 'name' | 'uid'>,
  ): void;
  /** As revokeSecret, for whatever is granted. */
  revoke(imageRef: string, trimmedImage: string, grantee: Grantee): void;

  /**
   * After a restart: dangling intents whose image the runtime has become records without credentials; all
   * intents end that no pull of this process is behind.
   */
  reconcilePullIntents(present: readonly PresentImage[]): void;
  /**
   * Records that an import took from a kubelet that knows images by repository and digest (before 1.36, on
   * CRI-O) become those of the node's images, which are not preloaded under that name. Returns how many.
   */
  matchImportedRecords(present: readonly PresentImage[]): number;
  /** First run only: what is on the node now is preloaded. A second call does nothing and returns false. */
  takeInventory(present: readonly PresentImage[]): boolean;
  /**
   * Forgets records and inventory of images that the runtime no longer has, but not records written since
   * `before` (ms epoch). Returns how many images were forgotten.
   */
  pruneUnknownRecords(present: readonly string[], before: number): number;
  /**
   * Forgets what is known of an imageRef, or of one trimmed image under it. Returns whether there was
   * anything.
   */
  forget(imageRef: string, trimmedImage?: string): boolean;
  /** Forgets every grant that the filter means; with `dryRun` only says which. */
  forgetGrants(filter: ForgetFilter, options?: { readonly dryRun?: boolean }): ForgetOutcome;
  /**
   * A secret or service account is gone: nothing that it was good for is granted to it any more. Returns how
   * many grants.
   */
  forgetOwner(owner: Extract<Grantee, { readonly uid: string }>): number;

  /** All records, ordered by imageRef. */
  listPulledRecords(): readonly ImagePulledRecord[];
  /** Every permission on record, in no order. */
  listGrants(): Iterable<Grant>;
  readonly recordCount: number;
  /** Images with an unsettled pull, sorted. */
  listPullIntents(): readonly string[];
  /** Picks up what another process (the command line) changed in the database; cheap when nothing did. */
  refresh(): void;
  /** Why what is new is only in memory, at this moment; undefined when all is on the disk. */
  readonly degraded: Degraded | undefined;
  close(): void;
}
