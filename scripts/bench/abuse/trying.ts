import { setTimeout as sleep } from 'node:timers/promises';
import { CriError } from '../../lab/cri.ts';
import type { BoundPod } from './shared-node.ts';

/** Pods whose containers are asked for again and again, as kubelet does with what it could not create. */
export type Trying = {
  /** So many of their containers were created. */
  created(): number;
  stop(): Promise<void>;
};

/** Kubelet's own back-off begins with 10 s. */
const AGAIN_MS = 5_000;

export function keepTrying(pods: readonly BoundPod[], containers: number): Trying {
  const stopping = new AbortController();
  const { signal } = stopping;
  let created = 0;

  async function tryPod(pod: BoundPod): Promise<void> {
    const open = new Set(Array.from({ length: containers }, (_, n) => n));
    while (!signal.aborted && open.size > 0) {
      for (const n of open) {
        if (signal.aborted) return;
        const isCreated = await pod.create(n).then(
          () => true,
          (error: unknown) => {
            if (error instanceof CriError) return false;
            throw error;
          },
        );
        if (!isCreated) continue;
        created += 1;
        open.delete(n);
      }
      await sleep(AGAIN_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  const all = pods.map(tryPod);
  return {
    created: () => created,
    async stop() {
      stopping.abort();
      await Promise.all(all);
      for (const pod of pods) await pod.remove();
    },
  };
}
