import { createFuse, type Fuse, type FuseSettings, type FuseSnapshot } from './fuse.ts';

/** Where a fuse outlives the agent's process. Neither method may throw. */
export type FuseState = {
  /** What was saved last; undefined where nothing was, or it cannot be read. */
  load(): SavedFuse | undefined;
  save(saved: SavedFuse): void;
  /**
   * Changes with each reset that somebody asks for; undefined as long as nobody did. Answers without
   * waiting.
   */
  lastReset(): string | undefined;
};

/**
 * `savedAtMs`: epoch ms. A wall clock may jump; then the window is up to one window longer or over at once.
 */
export type SavedFuse = { readonly savedAtMs: number; readonly snapshot: FuseSnapshot };

export type FuseKeeperOptions = {
  readonly state: FuseState;
  readonly onOpen: () => void;
  /** What the fuse let run is to be judged again. */
  readonly onClose: () => void;
};

export type KeptFuse = Pick<Fuse, 'permits' | 'isOpen'> & {
  /** Saves what is not saved yet. */
  close(): void;
};

/**
 * Counts come in bursts; a kill within this time (ms) loses them, and as many containers more may be
 * stopped.
 */
const SAVE_AFTER_MS = 1_000;
/** How late (ms) it may be noticed that the fuse has closed, or is to be reset. */
const NOTICED_LATE_MS = 1_000;

/** A fuse that survives a restart, and that is seen to close at the time when it does. */
export function keepFuse(settings: FuseSettings, { state, onOpen, onClose }: FuseKeeperOptions): KeptFuse {
  let saving: NodeJS.Timeout | undefined;
  let closing: NodeJS.Timeout | undefined;
  let lastReset = state.lastReset();
  const saved = state.load();
  const fuse = createFuse(settings, {
    now: () => performance.now(),
    onOpen() {
      save();
      onOpen();
    },
    onClose() {
      save();
      onClose();
    },
    restored: saved && { snapshot: saved.snapshot, agoMs: Date.now() - saved.savedAtMs },
  });

  function save(): void {
    clearTimeout(saving);
    saving = undefined;
    state.save({ savedAtMs: Date.now(), snapshot: fuse.snapshot() });
  }

  function watchForClosing(): void {
    if (closing !== undefined) return;
    closing = setTimeout(() => {
      closing = undefined;
      noticeReset();
      if (fuse.isOpen()) watchForClosing();
    }, NOTICED_LATE_MS).unref();
  }

  function noticeReset(): void {
    const reset = state.lastReset();
    if (reset === lastReset) return;
    lastReset = reset;
    fuse.reset();
    save();
  }

  if (saved?.snapshot.isOpen) watchForClosing();
  return {
    permits(subject, onNode) {
      noticeReset();
      const permitted = fuse.permits(subject, onNode);
      if (!permitted) watchForClosing();
      if (subject.hasStanding) saving ??= setTimeout(save, SAVE_AFTER_MS).unref();
      return permitted;
    },
    isOpen: fuse.isOpen,
    close() {
      clearTimeout(closing);
      if (saving !== undefined) save();
    },
  };
}
