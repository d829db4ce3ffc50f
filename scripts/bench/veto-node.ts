import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { ApiServer } from '../../test/cluster/api-server/api-server.ts';
import { type LabNode, startNode } from '../lab/node.ts';
import type { PodSpec } from '../lab/pod.ts';
import { pushImage } from '../lab/push.ts';
import { type AgentProcess, startAgent } from '../story/agent-process.ts';
import { programOfImage } from '../story/program-of-image.ts';

/** A pod whose sandbox stands and whose containers are to be created. */
export type WaitingPod = {
  /** Creates the n-th container; ms from the call over CRI to its answer. */
  create(n: number): Promise<number>;
  remove(): Promise<void>;
};

/**
 * One of the nodes that are compared: a real containerd with a private image, and the agent as it is
 * shipped.
 */
export type VetoNode = {
  readonly nriSocket: string;
  readonly root: string;
  /** `veto` asks it before each container is created; `stop` only watches. */
  startAgent(enforcement: 'veto' | 'stop', nriSocket?: string): Promise<AgentProcess>;
  bindPod(containers: number): Promise<WaitingPod>;
  stop(): Promise<void>;
};

/** `name` is the node's with the API server. */
export async function openVetoNode(api: ApiServer, name: string): Promise<VetoNode> {
  const node = await startNode({ containerd: '2', nri: true });
  try {
    return await furnish(node, api, name);
  } catch (error) {
    await node.stop();
    throw error;
  }
}

async function furnish(node: LabNode, api: ApiServer, name: string): Promise<VetoNode> {
  const { htpasswd } = node.registries;
  const login = { username: 'alice', password: htpasswd.users.alice ?? '' };
  const config = JSON.stringify({ auths: { [htpasswd.host]: login } });
  const secret = `pull-secret-${name}`;
  api.putSecret({
    metadata: { namespace: 'team-a', name: secret },
    type: 'kubernetes.io/dockerconfigjson',
    data: { '.dockerconfigjson': Buffer.from(config).toString('base64') },
  });
  await pushImage(htpasswd, 'team-a/app', '1', { salt: 'veto bench' });
  const image = `${htpasswd.host}/team-a/app:1`;
  const imageRef = await node.kubelet.pullImage(image, login);
  const { path } = await api.kubeconfig(`system:node:${name}`);
  const { nriSocket } = node;
  if (nriSocket === undefined) throw new Error('the node has no NRI');

  return {
    nriSocket,
    root: node.root,
    async startAgent(enforcement, socket = nriSocket) {
      const agent = startAgent(
        [
          ...['--runtime-endpoint', node.endpoint, '--state-dir', join(node.root, 'agent-state')],
          ...['--kubeconfig', path, '--node-name', name, '--nri-socket', socket],
          ...['--registry-config-dir', join(node.root, 'certs.d')],
          // What was pulled here counts as no image that was there before: only a record lets it by.
          ...['--mode', 'enforce', '--enforcement', enforcement, '--existing-images', 'verify'],
        ],
        { program: programOfImage() },
      );
      await agent.ready();
      return agent;
    },
    async bindPod(containers) {
      const pod: PodSpec = {
        namespace: 'team-a',
        name: `app-${randomUUID().slice(0, 13)}`,
        uid: randomUUID(),
        containers: Array.from({ length: containers }, (_, n) => ({
          name: `app-${n}`,
          image,
          imagePullPolicy: 'IfNotPresent',
        })),
      };
      const { namespace, name: podName, uid } = pod;
      api.putPod({
        metadata: { namespace, name: podName, uid },
        spec: {
          nodeName: name,
          serviceAccountName: 'default',
          imagePullSecrets: [{ name: secret }],
          containers: pod.containers,
        },
      });
      const sandbox = await node.kubelet.runSandbox(pod);
      return {
        async create(n) {
          const container = pod.containers[n];
          if (container === undefined) throw new RangeError(`the pod has no container ${n}`);
          const began = performance.now();
          await node.kubelet.createContainer(sandbox, pod, container, imageRef);
          return performance.now() - began;
        },
        async remove() {
          api.deletePod(namespace, podName);
          await node.kubelet.removePod(sandbox);
        },
      };
    },
    stop: () => node.stop(),
  };
}
