import { imageIdKey } from '../image/image-id.ts';
import type { RecordEntry } from './entry.ts';
import { parseEntryText } from './entry-text.ts';
import type { PullRecords, ReadPullRecords, RecordChange } from './pull-records.ts';
import type { Degraded, Rows, Write } from './rows.ts';
import type { ImagePullCredentials, ImagePulledRecord } from './types.ts';

/** Far more than a node has images. */
const MAX_REFS = 32_768;

/** One image in the index; it has a record, or is preloaded, or both. */
type Slot = {
  hasRecord: boolean;
  imageRef: string;
  lastUpdatedTime: number;
  /**
   * Trimmed image -> its entry; as text until somebody asks, so that a start does not parse what nobody asks
   * for.
   */
  readonly entries: Map<string, string | RecordEntry>;
  /** What was made of all that for whoever asked last; made anew after a change. */
  record: ImagePulledRecord | undefined;
  preloaded: Set<string> | undefined;
};

/**
 * PullRecords with an index in memory that answers every question; writes go through to the records that it
 * decorates, and change the index when they are done. Whoever holds a record holds a snapshot.
 */
export class IndexedPullRecords implements PullRecords {
  readonly #stored: PullRecords;
  readonly #rows: Rows;
  #index: Index;
  #version: number;

  /** @throws RecordStoreError */
  constructor(stored: PullRecords, rows: Rows) {
    this.#stored = stored;
    this.#rows = rows;
    this.#version = rows.version();
    this.#index = loadIndex(stored, rows);
  }

  get degraded(): Degraded | undefined {
    return this.#stored.degraded;
  }

  record(imageRef: string): ImagePulledRecord | undefined {
    const slot = this.#index.slotOf(imageRef);
    return slot?.hasRecord ? (slot.record ?? recordOf(slot)) : undefined;
  }

  entry(imageRef: string, trimmedImage: string): RecordEntry | undefined {
    const slot = this.#index.slotOf(imageRef);
    return slot?.hasRecord ? entryIn(slot, trimmedImage) : undefined;
  }

  *recordIds(): Generator<string> {
    for (const [imageId, slot] of this.#index.slots) if (slot.hasRecord) yield imageId;
  }

  intentExists(image: string): boolean {
    return this.#index.intents.has(image);
  }

  intents(): Iterable<string> {
    return this.#index.intents;
  }

  isPreloaded(imageRef: string, repository: string): boolean {
    return this.#index.slotOf(imageRef)?.preloaded?.has(repository) ?? false;
  }

  preloadedRepositories(imageRef: string): Iterable<string> {
    return this.#index.slotOf(imageRef)?.preloaded ?? [];
  }

  *preloadedIds(): Generator<string> {
    for (const [imageId, slot] of this.#index.slots) if (slot.preloaded?.size) yield imageId;
  }

  inventoryTakenAt(): number | undefined {
    return this.#index.inventoryTakenAt;
  }

  unreadableFiles(): ReadonlySet<string> {
    return this.#stored.unreadableFiles();
  }

  write(write: Write, plan: (records: ReadPullRecords) => readonly RecordChange[]): void {
    let changes: readonly RecordChange[] = [];
    this.#stored.write(write, () => {
      // From here on nobody else writes, so the plan is made on what the database holds.
      this.#reloadIfChangedElsewhere();
      changes = plan(this);
      return changes;
    });
    for (const change of changes) this.#index.apply(change);
  }

  refresh(): void {
    this.#reloadIfChangedElsewhere();
  }

  close(): void {
    this.#stored.close();
  }

  #reloadIfChangedElsewhere(): void {
    const version = this.#rows.version();
    if (version === this.#version) return;
    this.#index = loadIndex(this.#stored, this.#rows);
    this.#version = version;
  }
}

class Index {
  /** By image id key. */
  readonly slots = new Map<string, Slot>();
  readonly intents = new Set<string>();
  inventoryTakenAt: number | undefined;
  /** By imageRef as it was asked about: to parse one costs more than all the rest of a check. */
  readonly #byRef = new Map<string, Slot>();
  #lastRef = '';
  #lastSlot: Slot | undefined;

  slotOf(imageRef: string): Slot | undefined {
    // One check asks several times about the same image.
    if (imageRef === this.#lastRef) return this.#lastSlot;
    const slot = this.#byRef.get(imageRef) ?? this.#find(imageRef);
    this.#lastRef = imageRef;
    this.#lastSlot = slot;
    return slot;
  }

  #find(imageRef: string): Slot | undefined {
    const slot = this.slots.get(imageIdKey(imageRef));
    if (slot === undefined) return undefined;
    if (this.#byRef.size >= MAX_REFS) this.#byRef.clear();
    this.#byRef.set(imageRef, slot);
    return slot;
  }

  slotToChange(imageId: string): Slot {
    this.#forgetLast();
    const known = this.slots.get(imageId);
    if (known) return known;
    const slot: Slot = {
      hasRecord: false,
      imageRef: '',
      lastUpdatedTime: 0,
      entries: new Map(),
      record: undefined,
      preloaded: undefined,
    };
    this.slots.set(imageId, slot);
    return slot;
  }

  apply(change: RecordChange): void {
    switch (change.change) {
      case 'record': {
        const slot = this.slotToChange(change.imageId);
        slot.hasRecord = true;
        slot.imageRef = change.imageRef;
        slot.lastUpdatedTime = change.lastUpdatedTime;
        slot.record = undefined;
        return;
      }
      case 'recordGone': {
        const slot = this.slotToChange(change.imageId);
        slot.hasRecord = false;
        slot.record = undefined;
        slot.entries.clear();
        this.#dropIfEmpty(change.imageId, slot);
        return;
      }
      case 'entry': {
        const slot = this.slotToChange(change.imageId);
        slot.record = undefined;
        if (change.entry) slot.entries.set(change.trimmedImage, change.entry);
        else slot.entries.delete(change.trimmedImage);
        return;
      }
      case 'preloaded': {
        const slot = this.slotToChange(change.imageId);
        slot.preloaded ??= new Set();
        if (change.is) slot.preloaded.add(change.repository);
        else slot.preloaded.delete(change.repository);
        this.#dropIfEmpty(change.imageId, slot);
        return;
      }
      case 'intent':
        if (change.exists) this.intents.add(change.image);
        else this.intents.delete(change.image);
        return;
      case 'inventoryTaken':
        this.inventoryTakenAt = change.at;
        return;
      case 'unreadableFile':
        return;
    }
  }

  #dropIfEmpty(imageId: string, slot: Slot): void {
    if (slot.hasRecord || slot.preloaded?.size) return;
    this.slots.delete(imageId);
    this.#byRef.clear();
    this.#forgetLast();
  }

  #forgetLast(): void {
    this.#lastRef = '';
    this.#lastSlot = undefined;
  }
}

function loadIndex(stored: PullRecords, rows: Rows): Index {
  const index = new Index();
  for (const [imageId, imageRef, lastUpdatedTime] of rows.all('pulled_records')) {
    const slot = index.slotToChange(String(imageId));
    slot.hasRecord = true;
    slot.imageRef = String(imageRef);
    slot.lastUpdatedTime = Number(lastUpdatedTime);
  }
  for (const [imageId, trimmedImage, text] of rows.all('pull_entries')) {
    // An entry without its record counts for nothing.
    index.slots.get(String(imageId))?.entries.set(String(trimmedImage), String(text));
  }
  for (const [imageId, repository] of rows.all('preloaded_images')) {
    const slot = index.slotToChange(String(imageId));
    slot.preloaded ??= new Set();
    slot.preloaded.add(String(repository));
  }
  for (const [image] of rows.all('pull_intents')) index.intents.add(String(image));
  index.inventoryTakenAt = stored.inventoryTakenAt();
  return index;
}

function recordOf(slot: Slot): ImagePulledRecord {
  const credentialMapping = new Map<string, ImagePullCredentials>();
  for (const trimmedImage of slot.entries.keys()) {
    const entry = entryIn(slot, trimmedImage);
    if (entry) credentialMapping.set(trimmedImage, entry.credentials);
  }
  slot.record = { imageRef: slot.imageRef, lastUpdatedTime: slot.lastUpdatedTime, credentialMapping };
  return slot.record;
}

function entryIn(slot: Slot, trimmedImage: string): RecordEntry | undefined {
  const known = slot.entries.get(trimmedImage);
  if (typeof known !== 'string') return known;
  const entry = parseEntryText(known);
  if (entry) slot.entries.set(trimmedImage, entry);
  return entry;
}
