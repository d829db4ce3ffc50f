import { type Answer, goJson } from './answer.ts';
import { isSelected, kindOf, withKind } from './kinds.ts';
import type { Change, ObjectStore } from './objects.ts';
import type { ApiQuestion } from './request.ts';
import { type Status, tooOldVersion } from './status.ts';

/** A watch that is open, in a test's hands. */
export type OpenWatch = {
  readonly user: string;
  /** The version it was asked to begin after. */
  readonly resourceVersion: string;
  readonly query: ReadonlyMap<string, string>;
  /** Ends it in order, as after timeoutSeconds. */
  end(): void;
  /** Breaks the connection, after these bytes of a line if any. */
  cut(partial?: string): void;
  /** Says nothing more, but keeps the connection. */
  silence(): void;
  /** Sends this as it is, a malformed line for example; the newline is the caller's. */
  send(raw: string): void;
  bookmark(): void;
  /** Tells within the stream that its version is too old, and ends it. */
  expire(): void;
};

export type WatchTimings = {
  /** Between bookmarks, ms. */
  readonly bookmarkMs: number;
};

export type Watches = {
  /** `silent`: the head is sent, and nothing else ever. */
  open(question: ApiQuestion, user: string, answer: Answer, silent: boolean): void;
  list(): readonly OpenWatch[];
};

/** cacher.go: the last bookmark comes so long before the end. */
const LAST_BOOKMARK_MS = 2_000;
const DEFAULT_TIMEOUT_S = 1_800;

/** Watches of one kind of object each, fed by the store. */
export function createWatches(store: ObjectStore, timings: WatchTimings): Watches {
  const watches = new Set<OpenWatch>();

  function open(question: ApiQuestion, user: string, answer: Answer, silent: boolean): void {
    const { resource, namespace, query, fieldSelector } = question;
    const from = query.get('resourceVersion') ?? '';
    const bookmarked = query.get('allowWatchBookmarks') === 'true';
    const lastsMs = Number(query.get('timeoutSeconds') ?? DEFAULT_TIMEOUT_S) * 1_000;
    let mute = silent;
    let version = Number(from || 0);

    const send = (raw: string): void => {
      if (!mute) answer.write(raw);
    };
    const event = (type: string, object: object): void => send(`${goJson({ type, object })}\n`);

    function deliver({ resourceVersion, before, after, resource: changed }: Change): void {
      if (changed !== resource || resourceVersion <= version) return;
      version = resourceVersion;
      const was = before !== undefined && isSelected(before, namespace, fieldSelector);
      const is = after !== undefined && isSelected(after, namespace, fieldSelector);
      if (is && after) event(was ? 'MODIFIED' : 'ADDED', withKind(resource, after));
      else if (was && before) {
        // The last that was selected, with the version at which it no longer was.
        const metadata = { ...before.metadata, resourceVersion: String(resourceVersion) };
        event('DELETED', withKind(resource, { ...before, metadata }));
      }
    }

    function bookmark(): void {
      // To a version of the future nothing is said until it is reached.
      if (store.resourceVersion() < version) return;
      const metadata = { resourceVersion: String(store.resourceVersion()) };
      const empty = resource === 'pods' ? { spec: { containers: null }, status: {} } : {};
      event('BOOKMARK', { kind: kindOf(resource), apiVersion: 'v1', metadata, ...empty });
    }

    function fail(status: Status): void {
      event('ERROR', status);
      answer.end();
    }

    answer.begin();
    const replayed = from === '' || from === '0';
    if (!replayed && version < store.watchableFrom()) {
      fail(tooOldVersion(version, store.watchableFrom()));
      return;
    }
    if (replayed) {
      for (const object of store.list(resource) ?? []) {
        if (isSelected(object, namespace, fieldSelector)) event('ADDED', withKind(resource, object));
      }
      version = store.resourceVersion();
    }
    const unsubscribe = store.onChange(deliver);
    for (const change of store.changesAfter(resource, version)) deliver(change);
    const timers = [
      setTimeout(() => answer.end(), lastsMs),
      ...(bookmarked
        ? [
            setInterval(bookmark, timings.bookmarkMs),
            setTimeout(bookmark, Math.max(0, lastsMs - LAST_BOOKMARK_MS)),
          ]
        : []),
    ];
    const watch: OpenWatch = {
      user,
      resourceVersion: from,
      query,
      end: () => answer.end(),
      cut(partial = '') {
        if (partial !== '') answer.write(partial);
        setImmediate(answer.cut);
      },
      silence() {
        mute = true;
      },
      send,
      bookmark,
      expire: () => fail(tooOldVersion(version, store.resourceVersion())),
    };
    watches.add(watch);
    answer.onOver(() => {
      watches.delete(watch);
      unsubscribe();
      for (const timer of timers) clearTimeout(timer);
    });
  }

  return { open, list: () => [...watches] };
}
