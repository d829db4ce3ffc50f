import type { Database } from 'better-sqlite3';
import { repositoryOf } from '../../image/reference.ts';
import { imageNameInvalid, isImageName, trimmedName } from '../image-names.ts';
import { inventoryOf } from '../inventory.ts';
import { type ImportBatch, type ImportOutcome, planImport, unreadableFiles } from '../kubelet/import.ts';
import { mergeCredentials, withoutSecret } from '../merge.ts';
import type { RecordStore } from '../record-store.ts';
import type { ImagePullCredentials, ImagePulledRecord, ImagePullSecret, PresentImage } from '../types.ts';
import { databaseError } from './database.ts';
import { loadIndex, repairUnreadable, writeMeta } from './load.ts';
import type { MemoryIndex } from './memory-index.ts';
import { prepareStatements, putEntry, type Statements } from './statements.ts';

/** An image text longer than this is not an image name (256 for a repository, 128 a tag, then a digest). */
const MAX_IMAGE_TEXT = 4_096;

/**
 * How far a commit goes before it returns. `power`: flushed to the disk, survives a power cut. `kill`: handed
 * to the operating system, survives the death of this process; the next `power` commit flushes it too.
 */
type Durability = 'power' | 'kill';

type StoreOptions = {
  readonly now?: () => number;
  /** Called with the ids of images whose rows made no sense; they are verified again. */
  readonly onUnreadable?: (imageIds: readonly string[]) => void;
};

/**
 * RecordStore on a SQLite database that has the schema of migrations.ts. Hashes are stored as they are given.
 *
 * Each write is one transaction: it plans against the index, changes a few rows, commits, and only then changes
 * the index. All that grants or withdraws a permission is flushed to the disk. An intent is not, once an
 * inventory was taken: what a power cut may lose with it is a pull that was not settled, and content that is not
 * in the inventory has to be verified with or without an intent.
 */
export class SqliteRecordStore implements RecordStore {
  readonly #db: Database;
  readonly #sql: Statements;
  readonly #now: () => number;
  readonly #onUnreadable: (imageIds: readonly string[]) => void;
  #index: MemoryIndex;
  #dataVersion: number | undefined;
  #durability: Durability | undefined;

  constructor(db: Database, options: StoreOptions = {}) {
    this.#db = db;
    this.#now = options.now ?? Date.now;
    this.#onUnreadable = options.onUnreadable ?? (() => {});
    try {
      this.#sql = prepareStatements(db);
      this.#dataVersion = this.#sql.dataVersion.get();
      const { index, unreadable } = loadIndex(db);
      this.#index = index;
      if (unreadable.length > 0) {
        if (!db.readonly) repairUnreadable(db, unreadable);
        this.#onUnreadable(unreadable);
      }
    } catch (error) {
      throw databaseError(error, 'cannot read the records', db.name);
    }
  }

  get hasInventory(): boolean {
    return this.#index.inventoryTakenAt !== undefined;
  }

  pulledRecord(imageRef: string): ImagePulledRecord | undefined {
    return this.#index.records.get(this.#index.keyOf(imageRef));
  }

  pullIntentExists(image: string): boolean {
    return this.#index.intents.has(image);
  }

  isPreloaded(imageRef: string, repository: string): boolean {
    return this.#index.isPreloaded(imageRef, repository);
  }

  listPulledRecords(): readonly ImagePulledRecord[] {
    return [...this.#index.records.values()].sort((one, other) => (one.imageRef < other.imageRef ? -1 : 1));
  }

  listPullIntents(): readonly string[] {
    return [...this.#index.intents.keys()].sort();
  }

  recordPullIntent(image: string): void {
    if (image.length > MAX_IMAGE_TEXT) throw imageNameInvalid(image, 'too long');
    // Without an inventory the intent alone keeps a pull from counting as preloaded, even after a power cut.
    this.#write('record a pull intent', this.hasInventory ? 'kill' : 'power', () => {
      this.#sql.putIntent.run(image);
      return (index) => index.intents.set(image, (index.intents.get(image) ?? 0) + 1);
    });
  }

  recordImagePulled(image: string, imageRef: string, credentials: ImagePullCredentials): void {
    const trimmedImage = trimmedName(image);
    this.#write('record a pull', 'power', (index) => {
      const apply = this.#merge(index, imageRef, trimmedImage, credentials);
      if ((index.intents.get(image) ?? 0) <= 1) this.#sql.deleteIntent.run(image);
      return () => {
        apply();
        index.endIntent(image);
      };
    });
  }

  recordImagePullFailed(image: string): void {
    this.#write('record a failed pull', 'kill', (index) => {
      if ((index.intents.get(image) ?? 0) <= 1) this.#sql.deleteIntent.run(image);
      return () => index.endIntent(image);
    });
  }

  mergeCredentials(image: string, imageRef: string, credentials: ImagePullCredentials): void {
    const trimmedImage = trimmedName(image);
    this.#write('record a match', 'power', (index) =>
      this.#merge(index, imageRef, trimmedImage, credentials),
    );
  }

  revokeSecret(
    imageRef: string,
    trimmedImage: string,
    secret: Pick<ImagePullSecret, 'namespace' | 'name' | 'uid'>,
  ): void {
    this.#write('revoke a secret', 'power', (index) => {
      const record = index.records.get(index.keyOf(imageRef));
      const known = record?.credentialMapping.get(trimmedImage);
      if (!record || !known) return nothing;
      const left = withoutSecret(known, secret);
      if (left === known) return nothing;
      const now = this.#now();
      const key = index.keyOf(imageRef);
      this.#sql.deleteSecret.run(key, trimmedImage, secret.namespace, secret.name, secret.uid);
      this.#sql.putRecord.run(key, record.imageRef, now);
      return () => index.setEntry(imageRef, trimmedImage, left, now);
    });
  }

  reconcilePullIntents(present: readonly PresentImage[]): void {
    this.#write('reconcile pull intents', 'power', (index) => {
      const now = this.#now();
      const newRecords: string[] = [];
      const settled = new Set<string>();
      for (const { id, repoTags, repoDigests } of present) {
        for (const name of [...repoDigests, ...repoTags]) {
          if (!index.intents.has(name) || !isImageName(name)) continue;
          settled.add(name);
          if (!index.records.has(index.keyOf(id))) newRecords.push(id);
        }
      }
      for (const imageRef of newRecords) this.#sql.putRecord.run(index.keyOf(imageRef), imageRef, now);
      for (const image of settled) this.#sql.deleteIntent.run(image);
      return () => {
        for (const imageRef of newRecords) this.#putEmptyRecord(index, imageRef, now);
        for (const image of settled) index.intents.delete(image);
      };
    });
  }

  takeInventory(present: readonly PresentImage[]): boolean {
    let taken = false;
    this.#write('take the inventory', 'power', (index) => {
      if (index.inventoryTakenAt !== undefined) return nothing;
      const now = this.#now();
      const pairs = inventoryOf(index, present, unreadableFiles(this.#db));
      for (const [key, repository] of pairs) this.#sql.putPreloaded.run(key, repository);
      writeMeta(this.#db, 'inventoryTakenAt', String(now));
      return () => {
        for (const [key, repository] of pairs) index.addPreloaded(key, repository);
        index.inventoryTakenAt = now;
        taken = true;
      };
    });
    return taken;
  }

  pruneUnknownRecords(present: readonly string[], before: number): number {
    let forgotten = 0;
    this.#write('prune records', 'power', (index) => {
      const inUse = new Set(present.map((imageRef) => index.keyOf(imageRef)));
      const records = [...index.records]
        .filter(([key, record]) => !inUse.has(key) && record.lastUpdatedTime < before)
        .map(([key]) => key);
      const inventoryIsOlder = (index.inventoryTakenAt ?? 0) < before;
      const preloaded = inventoryIsOlder ? [...index.preloaded.keys()].filter((key) => !inUse.has(key)) : [];
      for (const key of records) {
        this.#sql.deleteEntries.run(key);
        this.#sql.deleteRecord.run(key);
      }
      for (const key of preloaded) this.#sql.deletePreloaded.run(key);
      return () => {
        for (const key of records) index.records.delete(key);
        for (const key of preloaded) index.preloaded.delete(key);
        forgotten = new Set([...records, ...preloaded]).size;
      };
    });
    return forgotten;
  }

  forget(imageRef: string, trimmedImage?: string): boolean {
    let found = false;
    this.#write('forget records', 'power', (index) => {
      const key = index.keyOf(imageRef);
      const record = index.records.get(key);
      if (trimmedImage !== undefined) {
        const repository = repositoryOf(trimmedImage);
        const hasEntry = record?.credentialMapping.has(trimmedImage) ?? false;
        const hasName = repository !== undefined && index.isPreloaded(imageRef, repository);
        const now = this.#now();
        if (hasEntry) {
          this.#sql.deleteEntry.run(key, trimmedImage);
          this.#sql.putRecord.run(key, imageRef, now);
        }
        if (hasName) this.#sql.deletePreloadedName.run(key, repository);
        return () => {
          if (hasEntry) index.setEntry(imageRef, trimmedImage, undefined, now);
          if (hasName) index.preloaded.get(key)?.delete(repository);
          found = hasEntry || hasName;
        };
      }
      // Without an inventory content without a record counts as preloaded: an empty record stays, it allows nobody.
      const keep = record !== undefined && index.inventoryTakenAt === undefined;
      this.#sql.deleteEntries.run(key);
      if (!keep) this.#sql.deleteRecord.run(key);
      this.#sql.deletePreloaded.run(key);
      return () => {
        if (keep) index.records.set(key, { ...record, credentialMapping: new Map() });
        else index.records.delete(key);
        found = index.preloaded.delete(key) || record !== undefined;
      };
    });
    return found;
  }

  /** Merges kubelet's records: for the command line, so not in RecordStore. One transaction. Throws RecordStoreError. */
  importRecords(batch: ImportBatch): ImportOutcome {
    let outcome: ImportOutcome = { records: [], intents: [] };
    this.#write('import records', 'power', (index) => {
      const plan = planImport(this.#db, this.#sql, index, batch, this.#now());
      outcome = plan.outcome;
      return plan.apply;
    });
    return outcome;
  }

  refresh(): void {
    try {
      this.#reloadIfChangedElsewhere();
    } catch (error) {
      throw databaseError(error, 'cannot read the records again', this.#db.name);
    }
  }

  close(): void {
    this.#db.close();
  }

  /**
   * One transaction. `plan` reads the index and changes rows, and returns how the index changes once that is
   * committed. It is given the index, because another process's commit may just have replaced it.
   */
  #write(
    doing: string,
    durability: Durability,
    plan: (index: MemoryIndex) => (index: MemoryIndex) => void,
  ): void {
    let apply: (index: MemoryIndex) => void;
    try {
      this.#setDurability(durability);
      this.#sql.begin.run();
      // From here on nobody else writes, so the plan is made on what the database holds.
      this.#reloadIfChangedElsewhere();
      apply = plan(this.#index);
      this.#sql.commit.run();
    } catch (error) {
      this.#rollback();
      throw databaseError(error, `cannot ${doing}`, this.#db.name);
    }
    apply(this.#index);
  }

  #rollback(): void {
    try {
      if (this.#db.open && this.#db.inTransaction) this.#sql.rollback.run();
    } catch {
      // What made the write fail is what the caller should hear; SQLite rolls back with the next transaction.
    }
  }

  #merge(
    index: MemoryIndex,
    imageRef: string,
    trimmedImage: string,
    credentials: ImagePullCredentials,
  ): () => void {
    const key = index.keyOf(imageRef);
    const record = index.records.get(key);
    const merge = mergeCredentials(record?.credentialMapping.get(trimmedImage), credentials);
    if (record && !merge) return nothing;
    const now = this.#now();
    this.#sql.putRecord.run(key, imageRef, now);
    // The record alone says that the content was pulled by somebody (kubelet's writePulledRecordIfChanged).
    if (!merge) return () => this.#putEmptyRecord(index, imageRef, now);
    putEntry(this.#sql, key, trimmedImage, merge);
    return () => index.setEntry(imageRef, trimmedImage, merge.credentials, now);
  }

  #putEmptyRecord(index: MemoryIndex, imageRef: string, now: number): void {
    index.records.set(index.keyOf(imageRef), {
      imageRef,
      lastUpdatedTime: now,
      credentialMapping: new Map(),
    });
  }

  #setDurability(durability: Durability): void {
    if (this.#durability === durability) return;
    this.#db.exec(durability === 'power' ? 'PRAGMA synchronous = FULL' : 'PRAGMA synchronous = NORMAL');
    this.#durability = durability;
  }

  /** `PRAGMA data_version` moves when another connection has committed, and only then. */
  #reloadIfChangedElsewhere(): void {
    const dataVersion = this.#sql.dataVersion.get();
    if (dataVersion === this.#dataVersion) return;
    const inFlight = this.#index.intents;
    const { index, unreadable } = loadIndex(this.#db);
    for (const image of index.intents.keys()) index.intents.set(image, inFlight.get(image) ?? 0);
    this.#index = index;
    this.#dataVersion = dataVersion;
    if (unreadable.length > 0) this.#onUnreadable(unreadable);
  }
}

function nothing(): void {}
