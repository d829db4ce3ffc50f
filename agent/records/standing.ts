import { imageIdKey } from '../image/image-id.ts';
import { gone, put, type Rows } from './rows.ts';

/** `granted`: a verdict `allowed`. `firstRun`: its container ran when the agent first came to the node. */
export type StandingReason = 'granted' | 'firstRun';

export type StandingEntry = {
  readonly namespace: string;
  readonly imageRef: string;
  /** The image's name without tag and digest. */
  readonly trimmedImage: string;
  /** Milliseconds since the epoch; for people to read, no decision rests on it. */
  readonly since: number;
  readonly by: StandingReason;
};

/**
 * Who was granted this content under this name before, or was there first: whom the benefit of the doubt
 * belongs to when nobody can be asked. Answered from memory; on record with the image, and gone with it.
 */
export interface Standing {
  /** One look into memory. */
  has(namespace: string, imageRef: string, trimmedImage: string): boolean;
  /** The same where the content or the name is not known: with any. */
  hasSome(about: {
    readonly namespace: string;
    readonly imageRef?: string;
    readonly trimmedImage?: string;
  }): boolean;
  /** The first time counts; later ones change and write nothing. @throws RecordStoreError */
  add(entry: StandingEntry): void;
  /** Forgets images that are not among these. Returns how many were forgotten. @throws RecordStoreError */
  prune(present: readonly string[]): number;
  /**
   * Forgets what a namespace has, or what anybody has under this name. Returns how many. @throws
   * RecordStoreError
   */
  forget(which: { readonly namespace?: string; readonly trimmedImage?: string }): number;
  /**
   * Forgets what anybody has with this content, under whatever name. Returns how many. @throws
   * RecordStoreError
   */
  revoke(imageRefs: readonly string[]): number;
  list(): readonly StandingEntry[];
}

/** Standing on the rows of the state database. @throws RecordStoreError */
export function openStanding(rows: Rows): Standing {
  /** Image id key -> trimmed image -> namespace -> entry. */
  const images = new Map<string, Map<string, Map<string, StandingEntry>>>();

  function remember(entry: StandingEntry): void {
    const names = getOrMake(images, imageIdKey(entry.imageRef), () => new Map());
    getOrMake(names, entry.trimmedImage, () => new Map()).set(entry.namespace, entry);
  }

  function* entries(): Generator<StandingEntry> {
    for (const names of images.values()) {
      for (const namespaces of names.values()) yield* namespaces.values();
    }
  }

  function remove(doing: string, isGone: (entry: StandingEntry) => boolean): StandingEntry[] {
    const leaving = [...entries()].filter(isGone);
    if (leaving.length === 0) return leaving;
    rows.write({ doing, durability: 'power' }, () => leaving.map((entry) => gone('standing', keyOf(entry))));
    for (const { imageRef, trimmedImage, namespace } of leaving) {
      const names = images.get(imageIdKey(imageRef));
      names?.get(trimmedImage)?.delete(namespace);
      if (names?.get(trimmedImage)?.size === 0) names.delete(trimmedImage);
      if (names?.size === 0) images.delete(imageIdKey(imageRef));
    }
    return leaving;
  }

  for (const [imageId, trimmedImage, namespace, since, by] of rows.all('standing')) {
    remember({
      namespace: String(namespace),
      imageRef: String(imageId),
      trimmedImage: String(trimmedImage),
      since: Number(since),
      by: by === 'firstRun' ? 'firstRun' : 'granted',
    });
  }

  return {
    has(namespace, imageRef, trimmedImage) {
      return images.get(imageIdKey(imageRef))?.get(trimmedImage)?.has(namespace) ?? false;
    },
    hasSome({ namespace, imageRef, trimmedImage }) {
      const candidates = imageRef === undefined ? images.values() : [images.get(imageIdKey(imageRef))];
      for (const names of candidates) {
        const wanted = trimmedImage === undefined ? names?.values() : [names?.get(trimmedImage)];
        for (const namespaces of wanted ?? []) if (namespaces?.has(namespace)) return true;
      }
      return false;
    },
    add(entry) {
      if (this.has(entry.namespace, entry.imageRef, entry.trimmedImage)) return;
      const { namespace, imageRef, trimmedImage, since, by } = entry;
      rows.write({ doing: 'record standing', durability: 'power' }, () => [
        put('standing', keyOf(entry), [Math.trunc(since), by]),
      ]);
      remember({ namespace, imageRef, trimmedImage, since: Math.trunc(since), by });
    },
    prune(present) {
      const inUse = new Set(present.map(imageIdKey));
      const leaving = remove('prune standing', ({ imageRef }) => !inUse.has(imageIdKey(imageRef)));
      return new Set(leaving.map(({ imageRef }) => imageIdKey(imageRef))).size;
    },
    forget({ namespace, trimmedImage }) {
      if (namespace === undefined && trimmedImage === undefined) return 0;
      return remove(
        'forget standing',
        (entry) =>
          (namespace === undefined || entry.namespace === namespace) &&
          (trimmedImage === undefined || entry.trimmedImage === trimmedImage),
      ).length;
    },
    revoke(imageRefs) {
      const inDoubt = new Set(imageRefs.map(imageIdKey));
      return remove('revoke standing', ({ imageRef }) => inDoubt.has(imageIdKey(imageRef))).length;
    },
    list: () => [...entries()],
  };
}

function keyOf({ imageRef, trimmedImage, namespace }: StandingEntry): readonly string[] {
  return [imageIdKey(imageRef), trimmedImage, namespace];
}

function getOrMake<Value>(map: Map<string, Value>, key: string, make: () => Value): Value {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}
