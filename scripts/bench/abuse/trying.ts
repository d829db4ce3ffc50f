import { setTimeout as sleep } from 'node:timers/promises';
import { CriError } from '../../lab/cri.ts';
import type { BoundPod } from './shared-node.ts';

/** Pods whose containers are asked for again and again, as kubelet does with what it could not create. */
export type Trying = {
  /** So many of their containers were created. */
  created(): number;
  stop(): Promise<void>;
};

/**
 * Twice as often as kubelet, which asks again after 10 s and up to half of that more, so that pods do not go
 * in step (pkg/kubelet/pod_workers.go, workerBackOffPeriodJitterFactor).
 */
const AGAIN_MS = 5_000;
const JITTER = 0.5;

/** Kubelet waits longer; what counts is when the container could run. */
const SOON_MS = 250;
const PATIENCE_MS = 60_000;

/** How long it took until a container was created, ms, and in how many tries. */
export type Created = { readonly id: string; readonly ms: number; readonly tries: number };

/** Creates what may be created, with further tries where the veto has no verdict yet. */
export async function createAtLast(pod: BoundPod, n: number): Promise<Created> {
  const began = performance.now();
  for (let tries = 1; ; tries += 1) {
    try {
      const id = await pod.create(n);
      return { id, ms: performance.now() - began, tries };
    } catch (error) {
      if (!(error instanceof CriError) || performance.now() - began > PATIENCE_MS) throw error;
      await sleep(SOON_MS);
    }
  }
}

/**
 * @param beginWithinMs when the first of them is asked for: kubelet makes one sandbox after the other, and
 * asks for the container as soon as one stands
 */
export function keepTrying(pods: readonly BoundPod[], containers: number, beginWithinMs: number): Trying {
  const stopping = new AbortController();
  const { signal } = stopping;
  let created = 0;

  async function tryPod(pod: BoundPod): Promise<void> {
    await sleep(beginWithinMs * Math.random(), undefined, { signal }).catch(() => undefined);
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
      await sleep(AGAIN_MS * (1 + JITTER * Math.random()), undefined, { signal }).catch(() => undefined);
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
