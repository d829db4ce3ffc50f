import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { type ApiServer, startApiServer } from '../../../test/cluster/api-server/api-server.ts';
import { type LabNode, startNode } from '../../lab/node.ts';
import type { ContainerSpec, PodSpec } from '../../lab/pod.ts';
import { pushImage } from '../../lab/push.ts';
import { type AgentProcess, startAgent } from '../../story/agent-process.ts';
import { type PlainPlugin, startPlainPlugin } from '../plain-plugin.ts';
import { startTenantRegistry, type TenantRegistry } from './tenant-registry.ts';

/**
 * A pod that is bound to the node and whose sandbox stands, as kubelet has it before it creates containers.
 */
export type BoundPod = {
  readonly namespace: string;
  /**
   * Creates (and does not start) the n-th container, as kubelet does; its id.
   * @throws CriError also where the veto refuses
   */
  create(n: number): Promise<string>;
  remove(): Promise<void>;
};

export type PodToBind = {
  readonly namespace: string;
  readonly images: readonly string[];
  readonly imagePullSecrets: readonly string[];
  /** `default` where none is named. */
  readonly serviceAccountName?: string;
  readonly env?: Record<string, string>;
};

/**
 * A real containerd, registries, an API server and the agent as its image runs it: the node that tenants
 * share.
 */
export type SharedNode = {
  readonly lab: LabNode;
  readonly api: ApiServer;
  agent(): AgentProcess;
  /** Ends the last agent, and starts one that knows nothing of before. */
  freshAgent(start?: AgentStart): Promise<AgentProcess>;
  /** Ends the last agent, and starts one with its records. */
  restartAgent(): Promise<AgentProcess>;
  /** Ends the agent; a plugin in its place does nothing but refuse the abuser's containers. */
  refuseWithoutAgent(): Promise<PlainPlugin>;
  /** A docker config; its text may be whatever the tenant likes. */
  putConfig(namespace: string, name: string, config: string): void;
  /** Makes it known to the API server alone. */
  announce(pod: PodToBind): PodSpec;
  bind(pod: PodToBind): Promise<BoundPod>;
  /** A registry of a tenant's own, with these images on it and on the node. */
  tenantRegistry(images: readonly string[]): Promise<TenantRegistry>;
  /** Puts images of the private registry on the node, without a word to the agent. */
  present(images: readonly string[]): Promise<readonly string[]>;
  stop(): Promise<void>;
};

/** What differs from agent to agent on one node. */
export type AgentStart = {
  /** Besides those of all agents; the last of a kind counts. */
  readonly flags?: readonly string[];
  /** Fills the state directory before the agent has it. */
  readonly furnish?: (stateDir: string) => void;
};

const NODE = 'shared';

/** @param program Node's arguments up to the agent's entry point */
export async function openSharedNode(
  program: readonly string[],
  flags: readonly string[] = [],
): Promise<SharedNode> {
  const lab = await startNode({ containerd: '2', nri: true });
  const api = await startApiServer({ parent: lab.root, nodeName: NODE });
  const { anonymous, htpasswd } = lab.registries;
  const alice = { username: 'alice', password: htpasswd.users.alice ?? '' };
  const { path } = await api.kubeconfig(`system:node:${NODE}`);
  const registries: TenantRegistry[] = [];
  let started: AgentProcess | undefined;
  let states = 0;

  async function start({ flags: own = [], furnish }: AgentStart = {}): Promise<AgentProcess> {
    await started?.kill();
    const stateDir = join(lab.root, `agent-state-${states}`);
    furnish?.(stateDir);
    started = startAgent(
      [
        ...['--runtime-endpoint', lab.endpoint, '--state-dir', stateDir],
        ...['--kubeconfig', path, '--node-name', NODE, '--nri-socket', lab.nriSocket ?? ''],
        ...['--registry-config-dir', join(lab.root, 'certs.d')],
        // What is pulled here counts as no image that was there before; and refusals are what this is about.
        ...['--mode', 'enforce', '--existing-images', 'verify', '--fuse-count', '1000000', ...flags, ...own],
      ],
      { program },
    );
    await started.ready(60_000);
    return started;
  }

  function announce({ namespace, images, imagePullSecrets, serviceAccountName, env }: PodToBind): PodSpec {
    const containers = images.map((image, n): ContainerSpec => {
      return { name: `app-${n}`, image, imagePullPolicy: 'IfNotPresent', ...(env && { env }) };
    });
    const pod = { namespace, name: `pod-${randomUUID().slice(0, 13)}`, uid: randomUUID(), containers };
    // A pod is at most 1.5 MiB: what is larger comes from ConfigMaps, which only kubelet reads.
    const withoutEnv = containers.map(({ env: _, ...container }) => container);
    api.putPod({
      metadata: { namespace, name: pod.name, uid: pod.uid },
      spec: {
        nodeName: NODE,
        serviceAccountName: serviceAccountName ?? 'default',
        imagePullSecrets: imagePullSecrets.map((name) => ({ name })),
        containers: withoutEnv,
      },
    });
    return pod;
  }

  return {
    lab,
    api,
    agent() {
      if (started === undefined) throw new Error('no agent was started');
      return started;
    },
    freshAgent(wanted) {
      states += 1;
      return start(wanted);
    },
    restartAgent: () => start(),
    async refuseWithoutAgent() {
      await started?.kill();
      return startPlainPlugin(lab.nriSocket ?? '', 'refuse');
    },
    putConfig(namespace, name, config) {
      api.putSecret({
        metadata: { namespace, name },
        type: 'kubernetes.io/dockerconfigjson',
        data: { '.dockerconfigjson': Buffer.from(config).toString('base64') },
      });
    },
    announce,
    async bind(wanted) {
      const pod = announce(wanted);
      const sandbox = await lab.kubelet.runSandbox(pod);
      let attempts = 0;
      return {
        namespace: pod.namespace,
        async create(n) {
          const container = pod.containers[n];
          if (container === undefined) throw new RangeError(`the pod has no container ${n}`);
          const imageRef = (await lab.kubelet.imageStatus(container.image))?.id ?? '';
          attempts += 1;
          return lab.kubelet.createContainer(sandbox, pod, container, imageRef, attempts);
        },
        async remove() {
          api.deletePod(pod.namespace, pod.name);
          await lab.kubelet.removePod(sandbox);
        },
      };
    },
    async tenantRegistry(images) {
      const registry = await startTenantRegistry(anonymous.host);
      registries.push(registry);
      await lab.addRegistry(registry.host);
      for (const image of images) {
        await pushImage(anonymous, image, '1', { salt: `${registry.host} ${image}`, layerSalt: 'shared' });
        await lab.kubelet.pullImage(`${registry.host}/${image}:1`);
      }
      return registry;
    },
    async present(images) {
      for (const image of images) {
        await pushImage(htpasswd, image, '1', { salt: image, layerSalt: 'shared' });
        await lab.kubelet.pullImage(`${htpasswd.host}/${image}:1`, alice);
      }
      return images.map((image) => `${htpasswd.host}/${image}:1`);
    },
    async stop() {
      await started?.kill();
      for (const registry of registries) await registry.close();
      await api.close();
      await lab.stop();
    },
  };
}
