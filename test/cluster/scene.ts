import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LabNode, startNode } from '../../scripts/lab/node.ts';
import type { ContainerdSeries } from '../../scripts/lab/programs.ts';
import type { Registry } from '../../scripts/lab/registry.ts';
import { type AgentProcess, startAgent } from '../../scripts/story/agent-process.ts';
import { programOfImage } from '../../scripts/story/program-of-image.ts';
import { type Tenant, type Tenants, tenantsOf } from '../../scripts/story/tenants.ts';
import { type ApiServer, startApiServer } from './api-server/api-server.ts';
import type { KubeObject } from './api-server/objects.ts';
import {
  type ApiContainer,
  type ApiPod,
  type ClusterKubelet,
  type KeptPod,
  startClusterKubelet,
} from './kubelet.ts';

/** Who the agent is to the API server. */
export type AgentIdentity =
  /** kubelet's kubeconfig: a client certificate of `system:node:NAME`. */
  | 'node'
  /** A ServiceAccount with the Role of the manifests. */
  | 'serviceAccount';

/**
 * One node of a cluster: API server, real containerd, real registries, kubelet's stand-in, and the real
 * agent.
 */
export type ClusterScene = {
  readonly node: LabNode;
  readonly api: ApiServer;
  readonly tenants: Tenants;
  agent(): AgentProcess;
  startAgent(...flags: string[]): Promise<AgentProcess>;
  /**
   * Puts the pod (and its tenant's secret) on the API server, bound to this node, and lets kubelet run it.
   */
  run(wanted: PodWanted): RunningPod;
  /** The agent's last verdict on any container of this pod's container, once there is one that fits. */
  verdict(pod: RunningPod, fits: (said: string) => boolean, container?: string): Promise<string>;
  /** Waits until no container of this pod's container runs, or until one does and goes on to. */
  becomes(pod: RunningPod, state: 'running' | 'stopped', container?: string): Promise<void>;
  stop(): Promise<void>;
};

export type PodWanted = {
  readonly tenant: Tenant;
  readonly image: string;
  readonly imagePullPolicy: ApiContainer['imagePullPolicy'];
  readonly registry: Registry;
  /** In place of the one container `app` with the image above. */
  readonly spec?: Partial<ApiPod['spec']>;
  readonly name?: string;
};

export type RunningPod = { readonly object: ApiPod; readonly kept: KeptPod; remove(): Promise<void> };

const AGENT_ACCOUNT = { namespace: 'pullwarden', name: 'pullwarden' };
const NODE_NAME = 'lab';

/** Pods get/list/watch, secrets get, events create and patch: what the overlay `service-account` grants. */
function grantAgentRole(api: ApiServer): void {
  const user = `system:serviceaccount:${AGENT_ACCOUNT.namespace}:${AGENT_ACCOUNT.name}`;
  api.grant(user, { verbs: ['get', 'list', 'watch'], resources: ['pods'] });
  api.grant(user, { verbs: ['get'], resources: ['secrets'] });
  api.grant(user, { verbs: ['create', 'patch'], resources: ['events'] });
}

export async function openClusterScene(
  containerd: ContainerdSeries,
  { nri = false, identity }: { readonly nri?: boolean; readonly identity: AgentIdentity },
): Promise<ClusterScene> {
  const node = await startNode({ containerd, nri });
  const api = await startApiServer({
    parent: node.root,
    nodeName: NODE_NAME,
    authorizerLagMs: 50,
    bookmarkMs: 1_000,
  });
  const tenants = tenantsOf(node);
  const secrets = new Map<string, { host: string; login: NonNullable<Tenant['login']> }>();
  const kubelet: ClusterKubelet = startClusterKubelet({
    runtime: node.kubelet,
    authsFor: ({ metadata, spec }, image) =>
      (spec.imagePullSecrets ?? []).flatMap(({ name }) => {
        const secret = secrets.get(`${metadata.namespace}/${name}`);
        return secret && image.startsWith(`${secret.host}/`) ? [secret.login] : [];
      }),
  });
  const agents: AgentProcess[] = [];
  let pods = 0;
  const access = await accessOf(api, identity);

  function agent(): AgentProcess {
    const last = agents.at(-1);
    if (last === undefined) throw new Error('no agent was started');
    return last;
  }

  /** The name of the tenant's secret for this registry; undefined for one without. */
  function putSecret({ namespace, login }: Tenant, registry: Registry): string | undefined {
    if (!login) return undefined;
    const name = `pull-secret-${registry.kind}`;
    const key = `${namespace}/${name}`;
    const held = secrets.get(key);
    if (held?.login.password === login.password) return name;
    secrets.set(key, { host: registry.host, login });
    const config = JSON.stringify({ auths: { [registry.host]: login } });
    api.putSecret({
      metadata: { namespace, name, uid: `uid-of-${namespace}-${registry.kind}` },
      type: 'kubernetes.io/dockerconfigjson',
      data: { '.dockerconfigjson': Buffer.from(config).toString('base64') },
    });
    return name;
  }

  async function isRunning(pod: RunningPod, container: string): Promise<boolean> {
    const id = pod.kept.container(container).ids.at(-1);
    if (id === undefined) return false;
    const status = await node.kubelet.containerStatus(id).catch(() => undefined);
    return status?.state === 'CONTAINER_RUNNING';
  }

  return {
    node,
    api,
    tenants,
    agent,
    async startAgent(...flags) {
      const started = startAgent(
        [
          ...['--runtime-endpoint', node.endpoint, '--state-dir', `${node.root}/agent-state`],
          ...['--node-name', NODE_NAME, ...access.flags],
          ...['--poll-interval', '500ms', '--existing-containers-delay', '0s'],
          ...['--nri-socket', node.nriSocket ?? `${node.root}/no-nri.sock`, ...flags],
        ],
        { env: access.environment, program: programOfImage() },
      );
      agents.push(started);
      await started.ready();
      return started;
    },
    run({ tenant, image, imagePullPolicy, registry, spec = {}, name }) {
      pods += 1;
      const secret = putSecret(tenant, registry);
      const object: ApiPod = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { namespace: tenant.namespace, name: name ?? `pod-${pods}`, uid: randomUUID() },
        spec: {
          nodeName: NODE_NAME,
          imagePullSecrets: secret === undefined ? [] : [{ name: secret }],
          containers: [{ name: 'app', image, imagePullPolicy }],
          ...spec,
        },
      };
      api.putPod(asKubeObject(object));
      const kept = kubelet.run(object);
      return {
        object,
        kept,
        async remove() {
          api.deletePod(object.metadata.namespace, object.metadata.name);
          await kept.remove();
        },
      };
    },
    async verdict(pod, fits, container = 'app') {
      const deadline = Date.now() + 45_000;
      for (;;) {
        const said = saidOf(agent(), pod, container);
        const found = said.findLast(fits);
        if (found !== undefined) return found;
        if (Date.now() > deadline) {
          const { failures } = pod.kept.container(container);
          throw new Error(`verdicts ${said.join(', ')}; ${failures.slice(-3).join('; ')}\n${agent().log()}`);
        }
        await sleep(20);
      }
    },
    async becomes(pod, state, container = 'app') {
      const deadline = Date.now() + 15_000;
      for (let asWanted = 0; asWanted < 3; ) {
        const runs = await isRunning(pod, container);
        asWanted = runs === (state === 'running') ? asWanted + 1 : 0;
        if (Date.now() > deadline) throw new Error(`not ${state}:\n${agent().log()}`);
        await sleep(100);
      }
    },
    async stop() {
      await Promise.allSettled(agents.map((one) => one.kill()));
      await kubelet.stop().catch(() => undefined);
      await api.close();
      await node.stop();
    },
  };
}

/** `denied registryRefused` and the like, in the order of the log. */
function saidOf(agent: AgentProcess, { object }: RunningPod, container: string): string[] {
  return agent
    .verdicts()
    .filter((line) => line.pod === object.metadata.name && line.namespace === object.metadata.namespace)
    .filter((line) => line.container === container)
    .map(({ verdict, reason }) => `${verdict} ${reason}`);
}

type Access = { readonly flags: readonly string[]; readonly environment: Record<string, string> };

async function accessOf(api: ApiServer, identity: AgentIdentity): Promise<Access> {
  if (identity === 'node') {
    const { path } = await api.kubeconfig(`system:node:${NODE_NAME}`);
    return { flags: ['--kubeconfig', path], environment: {} };
  }
  grantAgentRole(api);
  // In a pod kubelet mounts the token at a fixed place, which a test must not write to: a kubeconfig names
  // it instead.
  const { namespace, name } = AGENT_ACCOUNT;
  const { path } = await api.kubeconfig(`system:serviceaccount:${namespace}:${name}`, { by: 'tokenFile' });
  return { flags: ['--kubeconfig', path], environment: {} };
}

function asKubeObject({ metadata, ...rest }: ApiPod): KubeObject {
  return { ...rest, metadata: { ...metadata } };
}
