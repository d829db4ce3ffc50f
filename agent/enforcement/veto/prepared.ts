import type { CreateContainerRequest } from '../../nri/messages.ts';
import { type ContainerOfPod, containerKey, type PreparedContainer } from './create-request.ts';

/** Far more than start on one node at once. */
const MAX_PREPARED = 2_000;

/** `asJudged`: it may be created at once. `toBeCompared`: also when the main thread does not answer. */
export type Prepared = 'asJudged' | 'toBeCompared';

export type PreparedContainers = {
  add(container: PreparedContainer): void;
  /** From now on all that are waited for are to be compared. */
  namesChanged(): void;
  /** Undefined where it was not judged ahead. Good for one container of that name. */
  take(container: ContainerOfPod & Pick<CreateContainerRequest, 'image'>): Prepared | undefined;
};

type WaitedFor = Pick<PreparedContainer, 'imageNames' | 'areNamesKept'> & { readonly untilMs: number };

/** What was judged ahead and is waited for. `now` gives milliseconds. */
export function createPreparedContainers(now: () => number): PreparedContainers {
  const waitedFor = new Map<string, WaitedFor>();
  return {
    add({ imageNames, areNamesKept, forMs, ...container }) {
      const key = containerKey(container);
      waitedFor.delete(key);
      const oldest = waitedFor.keys().next();
      if (waitedFor.size >= MAX_PREPARED && !oldest.done) waitedFor.delete(oldest.value);
      waitedFor.set(key, { imageNames, areNamesKept, untilMs: now() + forMs });
    },
    namesChanged() {
      for (const [key, prepared] of waitedFor) waitedFor.set(key, { ...prepared, areNamesKept: false });
    },
    take(container) {
      const key = containerKey(container);
      const prepared = waitedFor.get(key);
      if (prepared === undefined) return undefined;
      waitedFor.delete(key);
      const { imageNames, areNamesKept, untilMs } = prepared;
      if (now() >= untilMs || !imageNames.includes(container.image)) return undefined;
      return areNamesKept ? 'asJudged' : 'toBeCompared';
    },
  };
}
