import { imageIdKey } from '../image/image-id.ts';
import { grantsOf } from './entry.ts';
import { type ForgetFilter, type ForgetOutcome, isMeant } from './forget.ts';
import { imageNameInvalid, isImageName, nameKey, trimmedName } from './image-names.ts';
import { preloadedNames } from './inventory.ts';
import { type ImportBatch, type ImportOutcome, planImport } from './kubelet/import.ts';
import { planMatches } from './kubelet/match-images.ts';
import type { PullRecords, ReadPullRecords, RecordChange } from './pull-records.ts';
import {
  emptyRecord,
  forgetImage,
  forgetName,
  mergeChanges,
  preloadedGone,
  removalChanges,
} from './record-changes.ts';
import type { RecordStore } from './record-store.ts';
import type { Degraded, Write } from './rows.ts';
import type {
  Grant,
  Grantee,
  ImagePullCredentials,
  ImagePulledRecord,
  ImagePullSecret,
  PresentImage,
} from './types.ts';

/** An image text longer than this is not an image name (256 for a repository, 128 a tag, then a digest). */
const MAX_IMAGE_TEXT = 4_096;

/**
 * Kubelet's rules of what a pull changes, on whatever keeps the records. Hashes are stored as they are given.
 *
 * All that grants or withdraws a permission is flushed to the disk. An intent is not, once an inventory was
 * taken: what a power cut may lose with it is a pull that had not ended, and content that is not in the
 * inventory has to be verified with or without an intent.
 */
export class PullRecordStore implements RecordStore {
  readonly #records: PullRecords;
  readonly #now: () => number;
  /** Pulls of this process in flight, by image. */
  readonly #inFlight = new Map<string, number>();

  /** `now` in milliseconds since the epoch. */
  constructor(records: PullRecords, now: () => number = Date.now) {
    this.#records = records;
    this.#now = now;
  }

  get hasInventory(): boolean {
    return this.#records.inventoryTakenAt() !== undefined;
  }

  get degraded(): Degraded | undefined {
    return this.#records.degraded;
  }

  get recordCount(): number {
    let count = 0;
    for (const _ of this.#records.recordIds()) count += 1;
    return count;
  }

  pulledRecord(imageRef: string): ImagePulledRecord | undefined {
    return this.#records.record(imageRef);
  }

  pullIntentExists(image: string): boolean {
    return this.#records.intentExists(image);
  }

  isPreloaded(imageRef: string, repository: string): boolean {
    return this.#records.isPreloaded(imageRef, repository);
  }

  verifiedAt(imageRef: string, trimmedImage: string, grantee: Grantee): number | undefined {
    const entry = this.#records.entry(imageRef, trimmedImage);
    if (!entry) return undefined;
    for (const [other, verifiedAt] of grantsOf(entry)) {
      if (isSameGrantee(other, grantee)) return verifiedAt || undefined;
    }
    return undefined;
  }

  listPulledRecords(): readonly ImagePulledRecord[] {
    return [...recordsIn(this.#records)].sort((one, other) => (one.imageRef < other.imageRef ? -1 : 1));
  }

  *listGrants(): Generator<Grant> {
    for (const record of recordsIn(this.#records)) yield* grantsIn(this.#records, record);
  }

  listPullIntents(): readonly string[] {
    return [...this.#records.intents()].sort();
  }

  recordPullIntent(image: string): void {
    if (image.length > MAX_IMAGE_TEXT) throw imageNameInvalid(image, 'too long');
    // Without an inventory the intent alone keeps a pull from counting as preloaded, even after a power cut.
    const durability = this.hasInventory ? 'kill' : 'power';
    this.#write({ doing: 'record a pull intent', durability }, (records) =>
      records.intentExists(image) ? [] : [{ change: 'intent', image, exists: true }],
    );
    this.#inFlight.set(image, (this.#inFlight.get(image) ?? 0) + 1);
  }

  recordImagePulled(image: string, imageRef: string, credentials: ImagePullCredentials): void {
    const trimmedImage = trimmedName(image);
    this.#write({ doing: 'record a pull', durability: 'power' }, (records) => {
      const now = this.#now();
      const verified = { credentials, verifiedAt: now };
      return [
        ...mergeChanges(records, { imageRef, trimmedImage, now }, verified),
        ...this.#endIntent(records, image),
      ];
    });
    this.#ended(image);
  }

  recordImagePullFailed(image: string): void {
    this.#write({ doing: 'record a failed pull', durability: 'kill' }, (records) =>
      this.#endIntent(records, image),
    );
    this.#ended(image);
  }

  recordGranted(image: string, imageRef: string, credentials: ImagePullCredentials): void {
    const trimmedImage = trimmedName(image);
    this.#write({ doing: 'record a grant', durability: 'power' }, (records) => {
      const now = this.#now();
      return mergeChanges(records, { imageRef, trimmedImage, now }, { credentials, verifiedAt: now });
    });
  }

  mergeCredentials(image: string, imageRef: string, credentials: ImagePullCredentials): void {
    const trimmedImage = trimmedName(image);
    this.#write({ doing: 'record a match', durability: 'power' }, (records) =>
      mergeChanges(records, { imageRef, trimmedImage, now: this.#now() }, { credentials }),
    );
  }

  revokeSecret(
    imageRef: string,
    trimmedImage: string,
    { namespace, name, uid }: Pick<ImagePullSecret, 'namespace' | 'name' | 'uid'>,
  ): void {
    this.revoke(imageRef, trimmedImage, { kind: 'kubernetesSecret', namespace, name, uid });
  }

  revoke(imageRef: string, trimmedImage: string, grantee: Grantee): void {
    this.#write({ doing: 'revoke a permission', durability: 'power' }, (records) => {
      const record = records.record(imageRef);
      const entry = records.entry(imageRef, trimmedImage);
      if (!record || !entry) return [];
      return removalChanges(record, trimmedImage, entry, this.#now(), (other) =>
        isSameGrantee(other, grantee),
      );
    });
  }

  reconcilePullIntents(present: readonly PresentImage[]): void {
    this.#write({ doing: 'reconcile pull intents', durability: 'power' }, (records) => {
      const changes: RecordChange[] = [];
      for (const { id, repoTags, repoDigests } of present) {
        const left = [...repoDigests, ...repoTags].some(
          (name) => records.intentExists(name) && isImageName(name),
        );
        if (left && !records.record(id)) changes.push(emptyRecord(id, this.#now()));
      }
      const names = new Set(present.flatMap(({ repoTags, repoDigests }) => [...repoTags, ...repoDigests]));
      const keys = new Set(Array.from(names, nameKey));
      for (const image of records.intents()) {
        // Kubelet keeps the intent of an image that is not there. Where there is an inventory, it is not in
        // that, and its intent says nothing more: no pull that was killed is left for ever.
        const isOver = this.hasInventory && !this.#inFlight.has(image) && !keys.has(nameKey(image));
        if (names.has(image) || isOver) changes.push({ change: 'intent', image, exists: false });
      }
      return changes;
    });
  }

  matchImportedRecords(present: readonly PresentImage[]): number {
    let matched = 0;
    if (!hasImported(this.#records)) return matched;
    this.#write({ doing: 'match imported records', durability: 'power' }, (records) => {
      const plan = planMatches(records, present, this.#now());
      matched = plan.matched;
      return plan.changes;
    });
    return matched;
  }

  takeInventory(present: readonly PresentImage[]): boolean {
    let taken = false;
    const write: Write = { doing: 'take the inventory', durability: 'power', mustReachDisk: true };
    this.#write(write, (records) => {
      if (records.inventoryTakenAt() !== undefined) return [];
      taken = true;
      const preloaded = preloadedNames(records, present).map(
        ([imageId, repository]): RecordChange => ({ change: 'preloaded', imageId, repository, is: true }),
      );
      return [...preloaded, { change: 'inventoryTaken', at: this.#now() }];
    });
    return taken;
  }

  pruneUnknownRecords(present: readonly string[], before: number): number {
    const forgotten = new Set<string>();
    this.#write({ doing: 'prune records', durability: 'power' }, (records) => {
      const inUse = new Set(present.map(imageIdKey));
      const changes: RecordChange[] = [];
      for (const imageId of records.recordIds()) {
        if (inUse.has(imageId) || (records.record(imageId)?.lastUpdatedTime ?? 0) >= before) continue;
        forgotten.add(imageId);
        changes.push({ change: 'recordGone', imageId });
      }
      if ((records.inventoryTakenAt() ?? 0) >= before) return changes;
      for (const imageId of records.preloadedIds()) {
        if (inUse.has(imageId)) continue;
        forgotten.add(imageId);
        changes.push(...preloadedGone(records, imageId));
      }
      return changes;
    });
    return forgotten.size;
  }

  forget(imageRef: string, trimmedImage?: string): boolean {
    let found = false;
    this.#write({ doing: 'forget records', durability: 'power' }, (records) => {
      const changes =
        trimmedImage === undefined
          ? forgetImage(records, imageRef)
          : forgetName(records, imageRef, trimmedImage, this.#now());
      found = changes.length > 0;
      return changes;
    });
    return found;
  }

  forgetGrants(filter: ForgetFilter, { dryRun = false } = {}): ForgetOutcome {
    const meant = (grant: Grant) => isMeant(filter, grant);
    if (dryRun) return { grants: [...this.listGrants()].filter(meant) };
    return { grants: this.#removeGrants('forget records', meant) };
  }

  forgetOwner(owner: Extract<Grantee, { readonly uid: string }>): number {
    const isOwners = ({ grantee }: Grant) => isSameGrantee(grantee, owner);
    return this.#removeGrants('forget what was granted to an owner that is gone', isOwners).length;
  }

  /**
   * Merges kubelet's records: for the command line, so not in RecordStore. One transaction. @throws
   * RecordStoreError
   */
  importRecords(batch: ImportBatch): ImportOutcome {
    let outcome: ImportOutcome = { records: [], intents: [] };
    const write: Write = { doing: 'import records', durability: 'power', mustReachDisk: true };
    this.#write(write, (records) => {
      const plan = planImport(records, batch, this.#now());
      outcome = plan.outcome;
      return plan.changes;
    });
    return outcome;
  }

  refresh(): void {
    this.#records.refresh();
  }

  close(): void {
    this.#records.close();
  }

  #write(write: Write, plan: (records: ReadPullRecords) => readonly RecordChange[]): void {
    this.#records.write(write, plan);
  }

  #removeGrants(doing: string, isGone: (grant: Grant) => boolean): Grant[] {
    const removed: Grant[] = [];
    this.#write({ doing, durability: 'power' }, (records) => {
      const changes: RecordChange[] = [];
      for (const record of recordsIn(records)) {
        const leaving = [...grantsIn(records, record)].filter(isGone);
        removed.push(...leaving);
        for (const trimmedImage of new Set(leaving.map((grant) => grant.trimmedImage))) {
          const entry = records.entry(record.imageRef, trimmedImage);
          const leaves = (grantee: Grantee) =>
            leaving.some(
              (grant) => grant.trimmedImage === trimmedImage && isSameGrantee(grant.grantee, grantee),
            );
          if (entry) changes.push(...removalChanges(record, trimmedImage, entry, this.#now(), leaves));
        }
      }
      return changes;
    });
    return removed;
  }

  #endIntent(records: ReadPullRecords, image: string): readonly RecordChange[] {
    const isLast = (this.#inFlight.get(image) ?? 0) <= 1;
    return isLast && records.intentExists(image) ? [{ change: 'intent', image, exists: false }] : [];
  }

  #ended(image: string): void {
    const inFlight = this.#inFlight.get(image) ?? 0;
    if (inFlight <= 1) this.#inFlight.delete(image);
    else this.#inFlight.set(image, inFlight - 1);
  }
}

function* recordsIn(records: ReadPullRecords): Generator<ImagePulledRecord> {
  for (const imageId of records.recordIds()) {
    const record = records.record(imageId);
    if (record) yield record;
  }
}

function* grantsIn(
  records: ReadPullRecords,
  { imageRef, credentialMapping }: ImagePulledRecord,
): Generator<Grant> {
  for (const trimmedImage of credentialMapping.keys()) {
    const entry = records.entry(imageRef, trimmedImage);
    if (!entry) continue;
    for (const [grantee, time] of grantsOf(entry)) {
      yield { imageRef, trimmedImage, grantee, verifiedAt: time || undefined };
    }
  }
}

function hasImported(records: ReadPullRecords): boolean {
  for (const imageId of records.recordIds()) if (imageId.includes('@')) return true;
  return false;
}

function isSameGrantee(one: Grantee, other: Grantee): boolean {
  if (one.kind !== other.kind) return false;
  if (!('uid' in one) || !('uid' in other)) return true;
  return one.uid === other.uid && one.name === other.name && one.namespace === other.namespace;
}
