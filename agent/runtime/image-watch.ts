import { RuntimeError } from '../errors.ts';
import type { RetryDelays } from '../retry-delay.ts';
import { createRepeatedTask } from './repeated-task.ts';
import type { Runtime, RuntimeImage } from './runtime.ts';

/** What one list tells that the one before it did not. */
export type ImageChanges = {
  /** In the first list: there is none before it, and all that is on the node is `arrived`. */
  readonly first: boolean;
  /** Images that were not there before. */
  readonly arrived: readonly RuntimeImage[];
  /** Images that were there, and have names that they did not have. The image has all of its names. */
  readonly renamed: readonly RuntimeImage[];
  /** Ids of images that are gone, as the runtime writes them. */
  readonly gone: readonly string[];
};

export type ImageWatchOptions = {
  readonly runtime: Pick<Runtime, 'listImages'>;
  /** In the order noticed; not called where nothing changed, but for the first list. Must not throw. */
  readonly onChanges: (changes: ImageChanges) => void;
  readonly onListFailed?: (error: RuntimeError) => void;
  /** The runtime lists more images than are watched: those beyond were not reported. */
  readonly onTooMany?: (images: number) => void;
  /** Milliseconds from one list to the next; a minute when left out. */
  readonly intervalMs?: number;
  /** Milliseconds within which whatever asks for a list shares one; 200 when left out. */
  readonly shareMs?: number;
  readonly retry?: RetryDelays;
};

export type ImageWatch = {
  /**
   * Something happened that may have brought an image: lists soon. A hundred calls in a row cost one list.
   */
  relist(): void;
  /** Images known now. */
  size(): number;
  /** Has there been a list? */
  synced(): boolean;
  stop(): void;
};

/**
 * Kubelet's image garbage collection keeps a node far below this; it bounds the memory, at about 1 KiB an
 * image.
 */
const MAX_IMAGES = 20_000;

/**
 * Tells which images come to the node and go from it, by listing them at an interval and whenever asked to:
 * CRI has no events for images. An image that comes and goes between two lists is never seen. Begins with a
 * list of all.
 */
export function watchImages(options: ImageWatchOptions): ImageWatch {
  const stopping = new AbortController();
  /** Image id -> its names. Undefined before the first list. */
  let known: ReadonlyMap<string, ReadonlySet<string>> | undefined;

  async function list(): Promise<boolean> {
    try {
      const images = await options.runtime.listImages();
      if (!stopping.signal.aborted) takeIn(images);
      return true;
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      if (!stopping.signal.aborted) options.onListFailed?.(error);
      return false;
    }
  }

  function takeIn(listed: readonly RuntimeImage[]): void {
    if (listed.length > MAX_IMAGES) options.onTooMany?.(listed.length);
    const images = watchable(listed, known);
    const changes = changesSince(known, images);
    known = new Map(images.map((image) => [image.id, new Set(namesOf(image))]));
    const { first, arrived, renamed, gone } = changes;
    if (first || arrived.length + renamed.length + gone.length > 0) options.onChanges(changes);
  }

  const lists = createRepeatedTask({
    run: list,
    intervalMs: () => options.intervalMs ?? 60_000,
    retry: options.retry ?? { initialMs: 200, maxMs: 10_000 },
  });
  lists.soon();

  return {
    relist: () => lists.soon(options.shareMs ?? 200),
    size: () => known?.size ?? 0,
    synced: () => known !== undefined,
    stop() {
      stopping.abort();
      lists.stop();
    },
  };
}

/** Where there are too many, those that are known stay known: nothing is gone because of the bound. */
function watchable(
  listed: readonly RuntimeImage[],
  known: ReadonlyMap<string, ReadonlySet<string>> | undefined,
): readonly RuntimeImage[] {
  if (listed.length <= MAX_IMAGES) return listed;
  const old = listed.filter(({ id }) => known?.has(id));
  return [...old, ...listed.filter(({ id }) => !known?.has(id))].slice(0, MAX_IMAGES);
}

function changesSince(
  known: ReadonlyMap<string, ReadonlySet<string>> | undefined,
  images: readonly RuntimeImage[],
): ImageChanges {
  const present = new Set(images.map(({ id }) => id));
  return {
    first: known === undefined,
    arrived: images.filter(({ id }) => !known?.has(id)),
    renamed: images.filter((image) => {
      const names = known?.get(image.id);
      return names !== undefined && namesOf(image).some((name) => !names.has(name));
    }),
    gone: [...(known?.keys() ?? [])].filter((id) => !present.has(id)),
  };
}

function namesOf({ repoTags, repoDigests }: RuntimeImage): string[] {
  return [...repoTags, ...repoDigests];
}
