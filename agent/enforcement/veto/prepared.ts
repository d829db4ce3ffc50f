import type { CreateContainerRequest } from '../../nri/messages.ts';
import { type ContainerOfPod, containerKey, type PreparedContainer } from './create-request.ts';

/** Far more than start on one node at once. */
const MAX_PREPARED = 2_000;

export type PreparedContainers = {
  add(container: PreparedContainer): void;
  /** May it be created though the main thread does not answer? Good for one container of that name. */
  take(container: ContainerOfPod & Pick<CreateContainerRequest, 'image'>): boolean;
};

/** What was judged ahead and is waited for. `now` gives milliseconds. */
export function createPreparedContainers(now: () => number): PreparedContainers {
  const waitedFor = new Map<string, { readonly imageNames: readonly string[]; readonly untilMs: number }>();
  return {
    add({ imageNames, forMs, ...container }) {
      const key = containerKey(container);
      waitedFor.delete(key);
      const oldest = waitedFor.keys().next();
      if (waitedFor.size >= MAX_PREPARED && !oldest.done) waitedFor.delete(oldest.value);
      waitedFor.set(key, { imageNames, untilMs: now() + forMs });
    },
    take(container) {
      const key = containerKey(container);
      const prepared = waitedFor.get(key);
      if (prepared === undefined) return false;
      waitedFor.delete(key);
      return now() < prepared.untilMs && prepared.imageNames.includes(container.image);
    },
  };
}
