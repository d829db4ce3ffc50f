import { expect, vi } from 'vitest';
import { createApiClient } from '../../../agent/kubernetes/api-client.ts';
import { createIdentity } from '../../../agent/kubernetes/identity.ts';
import type { KubernetesTimings } from '../../../agent/kubernetes/timings.ts';
import { type KubernetesPodSource, openKubernetesPodSource } from '../../../agent/pods/kubernetes/source.ts';
import type { Pod } from '../../../agent/pods/pod-source.ts';
import {
  type ApiServer,
  type ApiServerOptions,
  startApiServer,
} from '../../cluster/api-server/api-server.ts';

/** A test API server and a pod source of its node `lab`, with the node's own identity. */
export type Scene = {
  readonly server: ApiServer;
  readonly source: KubernetesPodSource;
  /** What the source told of, oldest first. */
  readonly problems: string[];
  readonly synced: number[];
  readonly newPods: Pod[];
  changes(): number;
  close(): Promise<void>;
};

type SceneOptions = ApiServerOptions & {
  readonly user?: string;
  readonly timings?: Partial<KubernetesTimings>;
  /** Of a request, ms. */
  readonly timeoutMs?: number;
  /** False: the test starts the source. */
  readonly start?: boolean;
  /** Before the source is opened. */
  readonly given?: (server: ApiServer) => void | Promise<void>;
};

export const NODE_USER = 'system:node:lab';

const QUICK: Partial<KubernetesTimings> = {
  silenceMs: 10_000,
  shortWatchMs: 50,
  listMs: 5_000,
  listSilenceMs: 1_000,
  retry: { initialMs: 10, maxMs: 80 },
  startMs: 5_000,
  waitForPodMs: 150,
  authorizerLagMs: 10,
};

/** Starts the server, then the source. */
export async function openScene(options: SceneOptions = {}): Promise<Scene> {
  const server = await startApiServer({ nodeName: 'lab', ...options });
  await options.given?.(server);
  const { path } = await server.kubeconfig(options.user ?? NODE_USER, { by: 'token' });
  const client = createApiClient({
    identity: createIdentity({ kubeconfig: path, recheckMs: 50 }),
    timeoutMs: options.timeoutMs ?? 1_000,
  });
  const problems: string[] = [];
  const synced: number[] = [];
  const newPods: Pod[] = [];
  let changes = 0;
  const source = openKubernetesPodSource({
    client,
    nodeName: 'lab',
    onProblem: (problem) => problems.push(problem),
    onSynced: (pods) => synced.push(pods),
    timings: { ...QUICK, ...options.timings },
  });
  source.onChange(() => {
    changes += 1;
  });
  source.onPod((pod) => newPods.push(pod));
  if (options.start !== false) await source.start();
  return {
    server,
    source,
    problems,
    synced,
    newPods,
    changes: () => changes,
    async close() {
      await source.stop();
      client.close();
      await server.close();
    },
  };
}

/** Long enough for a machine that does much else; what holds is not waited for. */
const PATIENCE = { timeout: 30_000, interval: 5 };

/** Waits until what is asserted holds. */
export function eventually(assertion: () => void | Promise<void>): Promise<void> {
  return vi.waitFor(assertion, PATIENCE);
}

export function lists(server: ApiServer): number {
  return server.requestsFor('list', 'pods').length;
}

/** The one watch that is open, as soon as there is one. */
export async function theWatch(server: ApiServer): Promise<ReturnType<ApiServer['watches']>[number]> {
  return vi.waitFor(() => {
    const [watch] = server.watches();
    if (!watch) throw new Error('no watch is open');
    return watch;
  }, PATIENCE);
}

/** A watch is open and nothing is wrong. */
export async function inOrder({ server, source }: Scene): Promise<void> {
  await theWatch(server);
  await eventually(() => expect(source.problem()).toBeUndefined());
}

/** The scene is in order, and of `a` to `d` these pods are known without asking for them by name. */
export async function expectWatched(scene: Scene, ...wanted: readonly string[]): Promise<void> {
  await inOrder(scene);
  await eventually(async () => {
    const found: string[] = [];
    for (const name of ['a', 'b', 'c', 'd']) {
      const asked = scene.server.requestsFor('get', 'pods').length;
      const pod = await scene.source.findPod('team-a', name);
      if (pod && scene.server.requestsFor('get', 'pods').length === asked) found.push(name);
    }
    expect(found).toEqual(wanted);
  });
}
