import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import PQueue from 'p-queue';
import { type ApiServer, startApiServer } from '../../test/cluster/api-server/api-server.ts';
import {
  type KubeletCredentials,
  LOGIN_ANNOTATION,
  type Login,
  writeKubeletCredentials,
} from '../../test/cluster/credentials/kubelet-credentials.ts';
import { CriError } from '../lab/cri.ts';
import { ContainerNotStarted } from '../lab/kubelet.ts';
import { type LabNode, startNode } from '../lab/node.ts';
import type { PodSpec } from '../lab/pod.ts';
import { pushImage } from '../lab/push.ts';
import { type AgentProcess, startAgent } from '../story/agent-process.ts';
import { programOfImage } from '../story/program-of-image.ts';

/** A node with a real containerd, a registry, a test API server and the agent as it is shipped. */
export type BusyNode = {
  readonly agent: AgentProcess;
  /** Puts so many private images on the node; `progress` is told how many there are. */
  pullImages(count: number, progress: (done: number) => void): Promise<void>;
  /** Binds and runs a pod that may use its image, or one that may not. */
  addPod(allowed: boolean): Promise<void>;
  /** Ends and deletes the oldest pod. */
  removeOldest(): Promise<void>;
  pods(): number;
  /** How often the plugin was executed; 0 without a provider. */
  pluginRuns(): Promise<number>;
  stop(): Promise<void>;
};

const NODE = 'busy';
const NAMESPACES = 25;
const PULLS_AT_ONCE = 4;
/** @param provider pods that may use their image have a service account for it, and no secret */
export async function openBusyNode({ provider }: { readonly provider: boolean }): Promise<BusyNode> {
  const node = await startNode({ containerd: '2', nri: true });
  const api = await startApiServer({ parent: node.root, nodeName: NODE });
  const { htpasswd } = node.registries;
  const login = { username: 'alice', password: htpasswd.users.alice ?? '' };
  const config = JSON.stringify({ auths: { [htpasswd.host]: login } });
  for (let n = 0; n < NAMESPACES; n += 1) {
    api.putSecret({
      metadata: { namespace: `team-${n}`, name: 'pull-secret' },
      type: 'kubernetes.io/dockerconfigjson',
      data: { '.dockerconfigjson': Buffer.from(config).toString('base64') },
    });
  }
  const plugins = provider ? await openProvider(node, api, { [htpasswd.host]: login }) : undefined;
  const { path } = await api.kubeconfig(`system:node:${NODE}`);
  const agent = startAgent(
    [
      ...['--runtime-endpoint', node.endpoint, '--state-dir', join(node.root, 'agent-state')],
      ...['--nri-socket', node.nriSocket ?? '', '--kubeconfig', path, '--node-name', NODE],
      ...['--registry-config-dir', join(node.root, 'certs.d')],
      // What is pulled here counts as no image that was there before.
      ...['--mode', 'enforce', '--existing-images', 'verify', '--fuse-count', '1000000'],
      ...(plugins?.flags ?? []),
    ],
    { program: programOfImage() },
  );
  await agent.ready();
  const running: { pod: PodSpec; sandboxId: string }[] = [];
  let images = 0;
  let begun = 0;

  const image = (n: number): string => `${htpasswd.host}/team-${n % NAMESPACES}/app-${n}:1.0.${n}`;

  return {
    agent,
    async pullImages(count, progress) {
      const queue = new PQueue({ concurrency: PULLS_AT_ONCE });
      for (let n = 0; n < count; n += 1) {
        void queue.add(async () => {
          const [, repository = '', tag = ''] = /^[^/]+\/(.*):(.*)$/.exec(image(n)) ?? [];
          await pushImage(htpasswd, repository, tag, { salt: `image ${n}`, layerSalt: 'shared' });
          await node.kubelet.pullImage(image(n), login);
          images += 1;
          progress(images);
        });
      }
      await queue.onIdle();
    },
    async addPod(allowed) {
      const n = begun;
      begun += 1;
      const object = podObject(n, image(n % images), allowed ? (provider ? 'account' : 'secret') : 'nothing');
      const { namespace, name, uid } = object.metadata;
      const containers = [
        { name: 'app', image: image(n % images), imagePullPolicy: 'IfNotPresent' as const },
      ];
      const pod: PodSpec = { namespace, name, uid, containers };
      api.putPod(object);
      try {
        const { sandboxId } = await node.kubelet.runPod(pod, login);
        running.push({ pod, sandboxId });
      } catch (error) {
        if (!(error instanceof ContainerNotStarted)) throw error;
        running.push({ pod, sandboxId: error.sandboxId });
      }
    },
    async removeOldest() {
      const oldest = running.shift();
      if (oldest) await remove(node, api, oldest);
    },
    pods: () => running.length,
    pluginRuns: async () => plugins?.runsOf(PLUGIN) ?? 0,
    async stop() {
      await agent.kill();
      await api.close();
      await node.stop();
    },
  };
}

const PLUGIN = 'account-plugin';
const AUDIENCE = 'https://registry.lab.example.com';

/** A plugin for service accounts; its answers are kept for 12 h, as ECR's are. */
async function openProvider(
  node: LabNode,
  api: ApiServer,
  auth: Readonly<Record<string, Login>>,
): Promise<KubeletCredentials> {
  for (let n = 0; n < NAMESPACES; n += 1) {
    const metadata = {
      namespace: `team-${n}`,
      name: 'builder',
      annotations: { [LOGIN_ANNOTATION]: 'alice' },
    };
    api.putServiceAccount({ metadata });
    api.putServiceAccount({ metadata: { namespace: `team-${n}`, name: 'default' } });
  }
  api.grant(`system:node:${NODE}`, {
    verbs: ['request-serviceaccounts-token-audience'],
    resources: [AUDIENCE],
  });
  return writeKubeletCredentials(join(node.root, 'kubelet'), {}, [
    {
      name: PLUGIN,
      matchImages: Object.keys(auth),
      audience: AUDIENCE,
      logins: { alice: auth },
      cacheDuration: '12h',
    },
  ]);
}

async function remove(
  node: LabNode,
  api: ApiServer,
  { pod, sandboxId }: { pod: PodSpec; sandboxId: string },
): Promise<void> {
  api.deletePod(pod.namespace, pod.name);
  await node.kubelet.removePod(sandboxId).catch((error: unknown) => {
    if (!(error instanceof CriError)) throw error;
  });
}

/** About as large as pods of real clusters are: some 6 KiB of JSON, most of which no verdict needs. */
function podObject(n: number, image: string, pullsWith: 'secret' | 'account' | 'nothing') {
  const environment = Array.from({ length: 30 }, (_, i) => ({
    name: `SETTING_${i}`,
    value: `value ${i} of pod ${n}, as long as such values tend to be`,
  }));
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      namespace: `team-${n % NAMESPACES}`,
      name: `app-${n}-6f7d9c5b8-${(n * 7_919).toString(36).padStart(5, 'x')}`,
      uid: randomUUID(),
      labels: { app: `app-${n}`, 'pod-template-hash': '6f7d9c5b8' },
      annotations: { 'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify(environment) },
    },
    spec: {
      serviceAccountName: pullsWith === 'account' ? 'builder' : 'default',
      imagePullSecrets: pullsWith === 'secret' ? [{ name: 'pull-secret' }] : [],
      containers: [{ name: 'app', image, imagePullPolicy: 'IfNotPresent', env: environment }],
    },
  };
}
