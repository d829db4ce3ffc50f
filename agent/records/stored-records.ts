import { imageIdKey } from '../image/image-id.ts';
import type { RecordEntry } from './entry.ts';
import { entryText, parseEntryText } from './entry-text.ts';
import { INVENTORY_PENDING, META } from './meta.ts';
import type { PullRecords, ReadPullRecords, RecordChange } from './pull-records.ts';
import { type Degraded, gone, put, type RowChange, type Rows, type Write } from './rows.ts';
import type { ImagePullCredentials, ImagePulledRecord } from './types.ts';

/** PullRecords as they stand in the database: each question is one to its rows. */
export class StoredPullRecords implements PullRecords {
  readonly #rows: Rows;

  constructor(rows: Rows) {
    this.#rows = rows;
  }

  get degraded(): Degraded | undefined {
    return this.#rows.degraded;
  }

  record(imageRef: string): ImagePulledRecord | undefined {
    const imageId = imageIdKey(imageRef);
    const [row] = this.#rows.all('pulled_records', [imageId]);
    if (row === undefined) return undefined;
    const credentialMapping = new Map<string, ImagePullCredentials>();
    for (const [, trimmedImage, text] of this.#rows.all('pull_entries', [imageId])) {
      const entry = parseEntryText(String(text));
      if (entry) credentialMapping.set(String(trimmedImage), entry.credentials);
    }
    return { imageRef: String(row[1]), lastUpdatedTime: Number(row[2]), credentialMapping };
  }

  entry(imageRef: string, trimmedImage: string): RecordEntry | undefined {
    const imageId = imageIdKey(imageRef);
    const [record] = this.#rows.all('pulled_records', [imageId]);
    const [row] = this.#rows.all('pull_entries', [imageId, trimmedImage]);
    return record && row && parseEntryText(String(row[2]));
  }

  recordIds(): Iterable<string> {
    return Array.from(this.#rows.all('pulled_records'), ([imageId]) => String(imageId));
  }

  intentExists(image: string): boolean {
    return Array.from(this.#rows.all('pull_intents', [image])).length > 0;
  }

  intents(): Iterable<string> {
    return Array.from(this.#rows.all('pull_intents'), ([image]) => String(image));
  }

  isPreloaded(imageRef: string, repository: string): boolean {
    return Array.from(this.#rows.all('preloaded_images', [imageIdKey(imageRef), repository])).length > 0;
  }

  preloadedRepositories(imageRef: string): Iterable<string> {
    return Array.from(this.#rows.all('preloaded_images', [imageIdKey(imageRef)]), (row) => String(row[1]));
  }

  preloadedIds(): Iterable<string> {
    return new Set(Array.from(this.#rows.all('preloaded_images'), ([imageId]) => String(imageId)));
  }

  inventoryTakenAt(): number | undefined {
    const [row] = this.#rows.all('meta', [META.inventory]);
    // A row that is not there or does not pass its check was lost, and with it what was preloaded.
    if (row === undefined) return 0;
    return row[1] === INVENTORY_PENDING ? undefined : Number(row[1]) || 0;
  }

  unreadableFiles(): ReadonlySet<string> {
    const names = Array.from(this.#rows.all('meta'), ([name]) => String(name));
    const unreadable = names.filter((name) => name.startsWith(META.unreadableFile));
    return new Set(unreadable.map((name) => name.slice(META.unreadableFile.length)));
  }

  write(write: Write, plan: (records: ReadPullRecords) => readonly RecordChange[]): void {
    this.#rows.write(write, () => plan(this).flatMap((change) => this.#rowChanges(change)));
  }

  refresh(): void {
    this.#rows.version();
  }

  close(): void {
    this.#rows.close();
  }

  #rowChanges(change: RecordChange): RowChange[] {
    switch (change.change) {
      case 'record':
        return [put('pulled_records', [change.imageId], [change.imageRef, change.lastUpdatedTime])];
      case 'recordGone': {
        const entries = Array.from(this.#rows.all('pull_entries', [change.imageId]));
        const names = entries.map((row) => gone('pull_entries', row.slice(0, 2)));
        return [...names, gone('pulled_records', [change.imageId])];
      }
      case 'entry': {
        const key = [change.imageId, change.trimmedImage];
        if (change.entry === undefined) return [gone('pull_entries', key)];
        return [put('pull_entries', key, [entryText(change.entry)])];
      }
      case 'intent':
        return [(change.exists ? put : gone)('pull_intents', [change.image])];
      case 'preloaded':
        return [(change.is ? put : gone)('preloaded_images', [change.imageId, change.repository])];
      case 'inventoryTaken':
        return [put('meta', [META.inventory], [String(change.at)])];
      case 'unreadableFile': {
        const key = [META.unreadableFile + change.file];
        return [change.exists ? put('meta', key, ['']) : gone('meta', key)];
      }
    }
  }
}
