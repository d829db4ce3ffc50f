import { imageIdKey } from '../../image/image-id.ts';
import type { ImagePullCredentials, ImagePulledRecord } from '../types.ts';

/** Far more than a node has images. */
const MAX_KEYS = 32_768;

/**
 * What the database holds, in maps: the only thing that is read to judge a container. It changes after a commit
 * and never before one. Records and entries are replaced, never altered, so whoever holds one holds a snapshot.
 */
export class MemoryIndex {
  /** By image id key. */
  readonly records = new Map<string, ImagePulledRecord>();
  /** Image -> pulls in flight in this process; 0 for an intent that an earlier one left. */
  readonly intents = new Map<string, number>();
  /** Image id key -> repositories. */
  readonly preloaded = new Map<string, Set<string>>();
  /** When the inventory was taken, ms since the epoch; undefined until it is. */
  inventoryTakenAt: number | undefined;

  readonly #keys = new Map<string, string>();
  #lastRef = '';
  #lastKey = '';

  /** What an imageRef goes by in these maps. Remembered, because to parse it costs more than all the rest of a check. */
  keyOf(imageRef: string): string {
    // One check asks several times about the same image.
    if (imageRef === this.#lastRef) return this.#lastKey;
    const key = this.#keys.get(imageRef) ?? this.rememberKey(imageRef, imageIdKey(imageRef));
    this.#lastRef = imageRef;
    this.#lastKey = key;
    return key;
  }

  /** Where a map holds the key already, that very string: it need not be compared character by character again. */
  rememberKey(imageRef: string, key: string): string {
    if (this.#keys.size >= MAX_KEYS) this.#keys.clear();
    this.#keys.set(imageRef, key);
    return key;
  }

  isPreloaded(imageRef: string, repository: string): boolean {
    return this.preloaded.get(this.keyOf(imageRef))?.has(repository) ?? false;
  }

  addPreloaded(key: string, repository: string): void {
    const repositories = this.preloaded.get(key);
    if (repositories) repositories.add(repository);
    else this.preloaded.set(key, new Set([repository]));
  }

  /** Sets one entry of a record, or takes it away where `credentials` is undefined; makes the record where needed. */
  setEntry(
    imageRef: string,
    trimmedImage: string,
    credentials: ImagePullCredentials | undefined,
    now: number,
  ): void {
    const key = this.keyOf(imageRef);
    const known = this.records.get(key);
    const credentialMapping = new Map(known?.credentialMapping);
    if (credentials) credentialMapping.set(trimmedImage, credentials);
    else credentialMapping.delete(trimmedImage);
    this.records.set(key, {
      imageRef: known?.imageRef ?? imageRef,
      lastUpdatedTime: now,
      credentialMapping,
    });
  }

  /** Ends one pull of an image; after the last one the intent is gone. */
  endIntent(image: string): void {
    const inFlight = this.intents.get(image) ?? 0;
    if (inFlight <= 1) this.intents.delete(image);
    else this.intents.set(image, inFlight - 1);
  }
}
