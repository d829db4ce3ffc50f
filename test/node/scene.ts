import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { StartedContainer } from '../../scripts/lab/kubelet.ts';
import { type LabNode, startNode } from '../../scripts/lab/node.ts';
import type { PodSpec } from '../../scripts/lab/pod.ts';
import type { ContainerdSeries } from '../../scripts/lab/programs.ts';
import { containerdVersions } from '../../scripts/lab/programs.ts';
import { type AgentProcess, startAgent } from '../../scripts/story/agent-process.ts';
import { programOfImage } from '../../scripts/story/program-of-image.ts';
import { podOf, type Tenants, tenantsOf, type Wanted, writeManifests } from '../../scripts/story/tenants.ts';

/** A real node with the tenants of the story, and the real agent as a process of its own. */
export type Scene = {
  readonly node: LabNode;
  readonly tenants: Tenants;
  readonly stateDir: string;
  readonly podsDirectory: string;
  /** The agent that was started last. */
  agent(): AgentProcess;
  startAgent(...flags: string[]): Promise<AgentProcess>;
  /** The same without waiting until it is ready: for one that never is. */
  beginAgent(...flags: string[]): AgentProcess;
  /** Writes the pod's manifests, then lets kubelet's stand-in run it; gives its one container. */
  run(wanted: Omit<Wanted, 'name'> & { name?: string }): Promise<StartedContainer>;
  /** The same, tried again for as long as the veto says that the verification is in progress. */
  runOnceVerified(wanted: Omit<Wanted, 'name'>): Promise<StartedContainer>;
  /** The same for a pod that the agent is never told about, which kubelet has from there. */
  runUnknown(wanted: Omit<Wanted, 'name'>, from: 'api' | 'file' | undefined): Promise<StartedContainer>;
  isRunning(id: string): Promise<boolean>;
  /** Resolves when the container has ended; throws after the time limit (ms). */
  ended(id: string, timeoutMs?: number): Promise<void>;
  stop(): Promise<void>;
};

/** Every containerd that this machine can get, and why it cannot get the others. */
export const offers = await containerdVersions();

/** The newest containerd that can be had, for what does not depend on the version. */
export function newest(): ContainerdSeries {
  const order: readonly ContainerdSeries[] = ['2', '1.7', '1.6'];
  const best = order.find((series) =>
    offers.some(({ containerd, available }) => containerd === series && available),
  );
  if (best === undefined) throw new Error('no containerd can be had on this machine');
  return best;
}

export async function openScene(containerd: ContainerdSeries, nri = false): Promise<Scene> {
  const node = await startNode({ containerd, nri });
  const stateDir = join(node.root, 'agent-state');
  const podsDirectory = join(node.root, 'agent-pods');
  await mkdir(podsDirectory);
  const agents: AgentProcess[] = [];
  let pods = 0;

  const named = (wanted: Omit<Wanted, 'name'> & { name?: string }): Wanted => {
    pods += 1;
    return { name: `pod-${pods}`, ...wanted };
  };
  const start = async (wanted: Wanted, pod: PodSpec, triedAgain?: RegExp): Promise<StartedContainer> => {
    const { containers } = await node.kubelet.runPod(pod, wanted.tenant.login, triedAgain);
    const [container] = containers;
    if (container === undefined) throw new Error('the pod has no container');
    return container;
  };
  const isRunning = async (id: string): Promise<boolean> =>
    (await node.kubelet.containerStatus(id)).state === 'CONTAINER_RUNNING';

  const beginAgent = (...flags: string[]): AgentProcess => {
    const own = [
      ...['--runtime-endpoint', node.endpoint, '--state-dir', stateDir, '--pods-directory', podsDirectory],
      ...['--registry-config-dir', join(node.root, 'certs.d')],
      // Waiting 10 s for each list of containerd 1.6, which has no events, would only make the tests slow.
      ...['--poll-interval', '500ms', '--existing-containers-delay', '0s'],
      // The machine's own NRI socket is none of the tests' business.
      ...['--nri-socket', node.nriSocket ?? join(node.root, 'no-nri.sock'), ...flags],
    ];
    const agent = startAgent(own, { program: programOfImage() });
    agents.push(agent);
    return agent;
  };

  return {
    node,
    tenants: tenantsOf(node),
    stateDir,
    podsDirectory,
    agent() {
      const agent = agents.at(-1);
      if (agent === undefined) throw new Error('no agent was started');
      return agent;
    },
    beginAgent,
    async startAgent(...flags) {
      const agent = beginAgent(...flags);
      await agent.ready(60_000);
      return agent;
    },
    async run(unnamed) {
      const wanted = named(unnamed);
      const pod = podOf(wanted);
      await writeManifests(podsDirectory, wanted, pod);
      return start(wanted, pod);
    },
    async runOnceVerified(unnamed) {
      const wanted = named(unnamed);
      const pod = podOf(wanted);
      await writeManifests(podsDirectory, wanted, pod);
      return start(wanted, pod, /verification in progress/);
    },
    async runUnknown(unnamed, from) {
      const wanted = named(unnamed);
      return start(wanted, { ...podOf(wanted), configSource: from ?? '' });
    },
    isRunning,
    async ended(id, timeoutMs = 60_000) {
      const deadline = Date.now() + timeoutMs;
      while (await isRunning(id)) {
        if (Date.now() > deadline) throw new Error(`container ${id} still runs:\n${agents.at(-1)?.log()}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    async stop() {
      await Promise.allSettled(agents.map((agent) => agent.kill()));
      await node.stop();
    },
  };
}
