import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiServer } from '../../../test/cluster/api-server/api-server.ts';
import { CriError } from '../../lab/cri.ts';
import { randomPassword } from '../../lab/htpasswd.ts';
import type { PullAuth } from '../../lab/kubelet.ts';
import { type LabNode, startNode } from '../../lab/node.ts';
import type { PodSpec } from '../../lab/pod.ts';
import { pushImage } from '../../lab/push.ts';
import { startAgent } from '../../story/agent-process.ts';
import { programOfImage } from '../../story/program-of-image.ts';

/** What keeps tenants apart on a node: nothing, a pull for every start, or the agent. */
export const WAYS = ['nothing', 'always', 'agent'] as const;
export type Way = (typeof WAYS)[number];

export type Tenant = { readonly namespace: string; readonly login: PullAuth };

/** What became of a container's start; `ms` from kubelet's first look at the image. */
export type Start = { readonly started: boolean; readonly ms: number; readonly tries: number };

/** A pod whose sandbox stands; its n-th container has the node's n-th image. */
export type PeerPod = {
  /** Looks, pulls by policy, creates and starts, as kubelet does. */
  start(n: number): Promise<Start>;
};

export type PeerNode = {
  readonly way: Way;
  readonly lab: LabNode;
  readonly tenants: readonly Tenant[];
  /** Its password is wrong. */
  readonly stranger: Tenant;
  bind(tenant: Tenant): Promise<PeerPod>;
  stop(): Promise<void>;
};

/** Kubelet waits 10 s before it tries again; what counts here is when the container could run. */
const AGAIN_MS = 250;
const PATIENCE_MS = 10_000;
const SECRET = 'pull-secret';

/** A node with its own containerd and registries, and with so many images that are there already. */
export async function openPeerNode(
  api: ApiServer,
  way: Way,
  { images: count, tenants: people }: { readonly images: number; readonly tenants: number },
): Promise<PeerNode> {
  const lab = await startNode({ containerd: '2', nri: way === 'agent' });
  try {
    return await furnish(lab, api, way, count, people);
  } catch (error) {
    await lab.stop();
    throw error;
  }
}

async function furnish(
  lab: LabNode,
  api: ApiServer,
  way: Way,
  count: number,
  people: number,
): Promise<PeerNode> {
  const { htpasswd } = lab.registries;
  const tenants: Tenant[] = [];
  for (let n = 0; n < people; n += 1) {
    const login = { username: `user-${n}`, password: randomPassword() };
    await htpasswd.setPassword(login.username, login.password);
    tenants.push({ namespace: `team-${n}`, login });
  }
  const stranger = { namespace: 'stranger', login: { username: 'user-0', password: randomPassword() } };
  const images: string[] = [];
  for (let n = 0; n < count; n += 1) {
    await pushImage(htpasswd, `shared/app-${n}`, '1', { salt: `app ${n}` });
    images.push(`${htpasswd.host}/shared/app-${n}:1`);
    await lab.kubelet.pullImage(images.at(-1) ?? '', tenants[0]?.login);
  }
  const agent = way === 'agent' ? await guard(lab, api, [...tenants, stranger]) : undefined;
  const imagePullPolicy = way === 'always' ? 'Always' : 'IfNotPresent';

  return {
    way,
    lab,
    tenants,
    stranger,
    async bind({ namespace, login }) {
      const containers = images.map((image, n) => ({ name: `app-${n}`, image, imagePullPolicy }) as const);
      const pod: PodSpec = {
        namespace,
        name: `app-${randomUUID().slice(0, 13)}`,
        uid: randomUUID(),
        containers,
      };
      const metadata = { namespace, name: pod.name, uid: pod.uid };
      const spec = {
        nodeName: way,
        serviceAccountName: 'default',
        imagePullSecrets: [{ name: SECRET }],
        containers,
      };
      if (agent) api.putPod({ metadata, spec });
      const sandbox = await lab.kubelet.runSandbox(pod);
      return { start: (n) => startWithPatience(lab, pod, sandbox, n, login) };
    },
    async stop() {
      await agent?.kill();
      await lab.stop();
    },
  };
}

async function guard(lab: LabNode, api: ApiServer, tenants: readonly Tenant[]) {
  for (const { namespace, login } of tenants) {
    const config = JSON.stringify({ auths: { [lab.registries.htpasswd.host]: login } });
    const data = { '.dockerconfigjson': Buffer.from(config).toString('base64') };
    api.putSecret({ metadata: { namespace, name: SECRET }, type: 'kubernetes.io/dockerconfigjson', data });
  }
  const { path } = await api.kubeconfig('system:node:agent');
  const agent = startAgent(
    [
      ...['--runtime-endpoint', lab.endpoint, '--state-dir', join(lab.root, 'agent-state')],
      ...['--kubeconfig', path, '--node-name', 'agent', '--nri-socket', lab.nriSocket ?? ''],
      ...['--registry-config-dir', join(lab.root, 'certs.d')],
      // What was pulled here counts as no image that was there before.
      ...['--mode', 'enforce', '--enforcement', 'veto', '--existing-images', 'verify'],
    ],
    { program: programOfImage() },
  );
  await agent.ready();
  return agent;
}

/** With further tries where the veto has no verdict yet. */
async function startWithPatience(
  lab: LabNode,
  pod: PodSpec,
  sandbox: string,
  n: number,
  login: PullAuth,
): Promise<Start> {
  const began = performance.now();
  for (let tries = 1; ; tries += 1) {
    const refusal = await startOnce(lab, pod, sandbox, n, { login, attempt: tries - 1 });
    const ms = performance.now() - began;
    if (refusal === undefined) return { started: true, ms, tries };
    if (ms > PATIENCE_MS || !refusal.includes('verification in progress'))
      return { started: false, ms, tries };
    await sleep(AGAIN_MS);
  }
}

/** What kubelet would be told; undefined where the container runs. */
async function startOnce(
  { kubelet }: LabNode,
  pod: PodSpec,
  sandbox: string,
  n: number,
  { login, attempt }: { readonly login: PullAuth; readonly attempt: number },
): Promise<string | undefined> {
  const container = pod.containers[n];
  if (container === undefined) throw new RangeError(`the pod has no container ${n}`);
  try {
    const present = (await kubelet.imageStatus(container.image))?.id;
    const mustPull = present === undefined || container.imagePullPolicy === 'Always';
    const imageRef = mustPull ? await kubelet.pullImage(container.image, login) : present;
    await kubelet.startContainer(await kubelet.createContainer(sandbox, pod, container, imageRef, attempt));
    return undefined;
  } catch (error) {
    if (!(error instanceof CriError)) throw error;
    return error.message;
  }
}
