import { PodSourceError } from '../errors.ts';
import type { Pod, PodQuestion, PodSource } from './pod-source.ts';

/** What kubelet computes for a static pod without a uid of its own; an API pod's uid has dashes. */
const STATIC_UID = /^[0-9a-f]{32}$/;

/**
 * The API server's pods, and the node's static pods beside them. A static pod is usually known to the API
 * server too, by its mirror pod; not while the API server is away, nor where its namespace does not exist.
 * Secrets are the API server's.
 */
export function combinedPodSource(api: PodSource, staticPods: PodSource): PodSource {
  const both = [api, staticPods];

  /** The static pod, or, in its place, what the API server says. */
  async function staticFirst(question: PodQuestion): Promise<Pod | undefined> {
    return (await staticPods.getPod(question)) ?? api.getPod(question);
  }

  async function apiFirst(question: PodQuestion): Promise<Pod | undefined> {
    try {
      const pod = await api.getPod(question);
      if (pod) return pod;
    } catch (error) {
      const pod = isAway(error) ? await staticPods.getPod(question) : undefined;
      if (pod) return pod;
      throw error;
    }
    return staticPods.getPod(question);
  }

  return {
    async start() {
      await Promise.all(both.map((source) => source.start()));
    },
    async stop() {
      await Promise.all(both.map((source) => source.stop()));
    },
    problem() {
      const problems = both.map((source) => source.problem()).filter((problem) => problem !== undefined);
      return problems.length > 0 ? problems.join('; ') : undefined;
    },
    async getPod(question) {
      const { configSource, uid } = question;
      if (configSource === 'api' || configSource === 'http') return api.getPod(question);
      return configSource === 'file' || STATIC_UID.test(uid) ? staticFirst(question) : apiFirst(question);
    },
    async findPod(namespace, name) {
      return (await staticPods.findPod(namespace, name)) ?? api.findPod(namespace, name);
    },
    getSecret: (namespace, name, read) => api.getSecret(namespace, name, read),
    // Nobody tells a static pod to end: kubelet stops it once its file is gone.
    terminating: () => api.terminating(),
    onChange: (listener) => endOf(both.map((source) => source.onChange(listener))),
    onPod: (listener) => endOf(both.map((source) => source.onPod(listener))),
  };
}

function endOf(ends: readonly (() => void)[]): () => void {
  return () => {
    for (const end of ends) end();
  };
}

function isAway(error: unknown): boolean {
  return error instanceof PodSourceError && error.reason === 'apiServerUnavailable';
}
