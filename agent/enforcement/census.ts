import type { RuntimeContainer } from '../runtime/runtime.ts';
import type { DoubtOf } from './judge-images.ts';

/** The containers that there are on the node, as far as the agent has seen them. */
export type Census = {
  seen(container: RuntimeContainer): void;
  gone(id: string): void;
  /** How many of them have standing; the fuse's share is a share of these. */
  withStanding(): number;
};

/**
 * Containers without standing are not counted, so that nobody can keep the fuse closed by filling the node
 * with them.
 */
export function createCensus(doubtOf: DoubtOf): Census {
  const containers = new Map<string, { readonly namespace: string; readonly imageRef: string }>();
  return {
    seen({ id, pod: { namespace }, imageRef }) {
      containers.set(id, { namespace, imageRef });
    },
    gone(id) {
      containers.delete(id);
    },
    withStanding() {
      let count = 0;
      for (const { namespace, imageRef } of containers.values()) {
        if (doubtOf({ namespace, imageRef, image: undefined }) === 'standing') count += 1;
      }
      return count;
    },
  };
}
