import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { DaemonSet } from 'kubernetes-models/apps/v1';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { runCommand } from '../../scripts/lab/command.ts';
import type { ContainerNotStarted } from '../../scripts/lab/kubelet.ts';
import { type LabNode, startNode } from '../../scripts/lab/node.ts';
import type { PodSpec } from '../../scripts/lab/pod.ts';
import { pushImage } from '../../scripts/lab/push.ts';
import { type ApiServer, startApiServer } from '../cluster/api-server/api-server.ts';
import { type ContainerOnNode, containerOnNode, type Started } from './container-on-node.ts';
import { environmentOf, type Installation, installationOf } from './installation.ts';
import { build, repository } from './kustomize.ts';

const NODE_NAME = 'lab';
const PKI = '/var/lib/kubelet/pki';

/**
 * The pod of manifests/overlays/enforce with the image's own file system on a real containerd, with a
 * kubeconfig and certificates laid out as kubelet's, and the test API server. What is not as on a cluster:
 * the network is the machine's, and nobody probes.
 */
describe('the pods of manifests/overlays/enforce and manifests/removal on a node', {
  timeout: 120_000,
}, () => {
  let folder: string;
  let node: LabNode;
  let api: ApiServer;
  let installed: Installation;
  let onNode: ContainerOnNode;
  let ranBefore: string;
  let image: { readonly rootfs: string; readonly entrypoint: readonly string[] };
  let privateImage: string;
  let agent: Started;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pullwarden-pod-'));
    image = { rootfs: await imageRootfs(folder), entrypoint: await entrypoint() };
    node = await startNode({ containerd: '2', nri: true });
    // Shared, as systemd makes a node's mounts.
    await runCommand('mount', ['--bind', node.root, node.root]);
    await runCommand('mount', ['--make-rshared', node.root]);
    api = await startApiServer({ nodeName: NODE_NAME });
    installed = installationOf(await build('overlays/enforce'));
    await layOutKubelet(folder, api);
    for (const name of ['pullwarden', 'kubelet'])
      await mkdir(join(folder, 'var-lib', name), { recursive: true });
    onNode = await containerOnNode(node, image, installed.pod, {
      '/run/containerd': node.root,
      '/var/run/nri': node.root,
      '/var/lib/pullwarden': join(folder, 'var-lib/pullwarden'),
      '/etc/kubernetes/kubelet.conf': join(folder, 'kubelet.conf'),
      [PKI]: join(folder, 'pki'),
    });
    await pushImage(node.registries.anonymous, 'lab/before', 'v1', { salt: 'before' });
    ranBefore = await runPod('kube-system', `${node.registries.anonymous.host}/lab/before:v1`);
    privateImage = `${node.registries.htpasswd.host}/team-a/private:v1`;
    await pushImage(node.registries.htpasswd, 'team-a/private', 'v1', { salt: 'private' });
  }, 120_000);

  afterAll(async () => {
    await api?.close();
    await node?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Puts the pod on the API server and runs it; returns its sandbox. */
  async function runPod(namespace: string, of: string): Promise<string> {
    const pod: PodSpec = {
      namespace,
      name: `pod-${randomUUID().slice(0, 8)}`,
      uid: randomUUID(),
      containers: [{ name: 'app', image: of, imagePullPolicy: 'IfNotPresent' }],
    };
    const { name, uid, containers } = pod;
    api.putPod({ metadata: { namespace, name, uid }, spec: { nodeName: NODE_NAME, containers } });
    return (await node.kubelet.runPod(pod)).sandboxId;
  }

  const environment = (): Record<string, string> => ({
    ...environmentOf(installed.agent, installed.options),
    PULLWARDEN_NODE_NAME: NODE_NAME,
    PULLWARDEN_POD_UID: randomUUID(),
    PULLWARDEN_EXISTING_CONTAINERS_DELAY: '0s',
    // The network is not the pod's own here, so the port may be taken.
    PULLWARDEN_LISTEN_ADDRESS: '127.0.0.1:0',
  });

  async function get(path: string): Promise<string> {
    const [, address] = /"address":"([^"]+)"/.exec(await agent.log()) ?? [];
    return (await fetch(`http://${address}${path}`)).text();
  }

  async function becomesReady(): Promise<void> {
    const deadline = Date.now() + 30_000;
    for (;;) {
      const said = await get('/readyz').catch(String);
      if (said === 'ok\n') return;
      if (Date.now() > deadline) throw new Error(`${said}\n${await agent.log()}`);
      await sleep(100);
    }
  }

  it("lets doctor find the sockets, and ask the API server with the node's identity", async () => {
    const report = await onNode.runToEnd(installed.doctor, environment());
    expect(report).toMatch(/^ok +runtime socket +\/run\/containerd\/containerd\.sock$/m);
    expect(report).toMatch(/^ok +runtime events/m);
    expect(report).toMatch(/^ok +nri +\/var\/run\/nri\/nri\.sock answers$/m);
    expect(report).toMatch(/^ok +pods/m);
    expect(api.requestsFor('list', 'pods')).toMatchObject([{ user: `system:node:${NODE_NAME}`, code: 200 }]);
  });

  it('goes on to the agent when doctor finds that something fails', async () => {
    await api.stop();
    const report = await onNode.runToEnd(installed.doctor, environment());
    await api.start('kept');
    expect(report).toMatch(/^failure +pods/m);
  });

  it('goes on to the agent when doctor does not even run', async () => {
    const environmentWithError = { ...environment(), PULLWARDEN_LOG_LEVEL: 'loud' };
    await expect(onNode.runToEnd(installed.doctor, environmentWithError)).resolves.toBe('');
  });

  it('starts an agent that is ready, and is asked before a container is created', async () => {
    agent = await onNode.start(installed.agent, environment());
    await becomesReady();
    expect(await get('/metrics')).toMatch(/^pullwarden_nri_connected 1$/m);
  });

  it('has neither capabilities nor a way to get any, and cannot write its root file system', async () => {
    const status = await readFile(`/proc/${agent.pid}/status`, 'utf8');
    const of = (field: string): string => new RegExp(`^${field}:\\s+(.*)$`, 'm').exec(status)?.[1] ?? '';
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      expect(Number(`0x${of(set)}`)).toBe(0);
    expect(of('NoNewPrivs')).toBe('1');
    // SECCOMP_MODE_FILTER
    expect(of('Seccomp')).toBe('2');
    const options = await mountOptions(agent.pid);
    expect(options.get('/')).toMatch(/^ro,/);
    expect(options.get('/run/containerd')).toMatch(/^ro,/);
    expect(options.get('/var/run/nri')).toMatch(/^ro,/);
    expect(options.get('/var/lib/pullwarden')).toMatch(/^rw,/);
  });

  it('keeps a tenant without credentials from an image that is on the node, and says so to kubectl exec', async () => {
    const [username = '', password = ''] = Object.entries(node.registries.htpasswd.users)[0] ?? [];
    await node.kubelet.pullImage(privateImage, { username, password });
    const refused: ContainerNotStarted = await runPod('team-b', privateImage).then(
      () => expect.unreachable('it ran'),
      (error) => error,
    );
    expect(refused).toMatchObject({ reason: 'CreateContainerError' });
    const main = image.entrypoint.at(-1) ?? '';
    const decisions = await agent.exec('/usr/local/bin/node', main, 'decisions');
    // The base does not mount containerd's hosts.toml, so that the agent finds no plain-HTTP registry; what
    // the runtime says names nobody. Without standing that is enough to keep the container from running.
    expect(decisions).toMatch(/team-b.*registry(Refused|Unavailable)/);
  });

  it('lets go of the root of a container that is gone', async () => {
    const held = async (): Promise<boolean> =>
      [...(await mountOptions(agent.pid)).keys()].some((path) => path.includes(ranBefore));
    expect(await held()).toBe(true);
    await node.kubelet.removePod(ranBefore);
    expect(await held()).toBe(false);
  });

  it('finds the new socket of a runtime that was restarted', async () => {
    await node.killRuntime();
    await expect.poll(() => get('/readyz'), { timeout: 20_000 }).toContain('runtime');
    await node.startRuntime();
    await becomesReady();
    expect(await get('/metrics')).toMatch(/^pullwarden_nri_connected 1$/m);
  });

  it('ends in order within its grace period', async () => {
    const since = performance.now();
    expect(await agent.stop()).toBe(0);
    const grace = installed.pod.terminationGracePeriodSeconds ?? 0;
    expect(performance.now() - since).toBeLessThan(grace * 1_000);
  });

  it('leaves nothing on the node after manifests/removal', async () => {
    const varLib = join(folder, 'var-lib');
    expect(await readdir(join(varLib, 'pullwarden'))).toContain('records.db');
    const [removal] = (await build('removal')).filter(DaemonSet.is);
    const pod = removal?.spec?.template.spec ?? { containers: [] };
    const afterwards = await containerOnNode(node, image, pod, { '/var/lib': varLib });
    for (const container of pod.initContainers ?? []) await afterwards.runToEnd(container, {});
    expect(await readdir(varLib)).toEqual(['kubelet']);
    const done = await afterwards.start(pod.containers[0] ?? { name: 'none' }, {});
    await expect.poll(() => done.log(), { timeout: 10_000 }).toBe('removed\n');
    expect(await done.stop()).toBe(0);
  });
});

/** As the Dockerfile makes it; returns its root. */
async function imageRootfs(folder: string): Promise<string> {
  const source = join(folder, 'source');
  for (const part of ['agent', 'proto', 'scripts', 'package.json', 'LICENSE']) {
    await cp(join(repository, part), join(source, part), { recursive: true });
  }
  await symlink(join(repository, 'node_modules'), join(source, 'node_modules'));
  const run = promisify(execFile);
  await run('npm', ['run', 'build'], { cwd: source });
  await run('scripts/image-rootfs', [join(folder, 'rootfs')], { cwd: source });
  return join(folder, 'rootfs');
}

async function entrypoint(): Promise<string[]> {
  const dockerfile = await readFile(join(repository, 'Dockerfile'), 'utf8');
  return JSON.parse(/^ENTRYPOINT (\[.*\])$/m.exec(dockerfile)?.[1] ?? '[]');
}

/** kubelet.conf and pki/ as kubelet has them: its certificate is behind a link to an absolute path. */
async function layOutKubelet(folder: string, api: ApiServer): Promise<void> {
  const given = await api.kubeconfig(`system:node:${NODE_NAME}`, { by: 'certificateFiles' });
  const both = (await readFile(given.certificateFile, 'utf8')) + (await readFile(given.keyFile, 'utf8'));
  await mkdir(join(folder, 'pki'));
  await writeFile(join(folder, 'pki/kubelet-client-2026-01-01-00-00-00.pem'), both, { mode: 0o600 });
  await symlink(
    `${PKI}/kubelet-client-2026-01-01-00-00-00.pem`,
    join(folder, 'pki/kubelet-client-current.pem'),
  );
  const current = `${PKI}/kubelet-client-current.pem`;
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'kubernetes',
        cluster: {
          server: api.url,
          'certificate-authority-data': Buffer.from(await readFile(api.caFile)).toString('base64'),
        },
      },
    ],
    contexts: [{ name: 'node', context: { cluster: 'kubernetes', user: 'default-auth' } }],
    'current-context': 'node',
    users: [{ name: 'default-auth', user: { 'client-certificate': current, 'client-key': current } }],
  };
  await writeFile(join(folder, 'kubelet.conf'), stringify(kubeconfig), { mode: 0o600 });
}

/** What a process has mounted: by mount point its options and its propagation (proc_pid_mountinfo(5)). */
async function mountOptions(pid: number): Promise<Map<string, string>> {
  const lines = (await readFile(`/proc/${pid}/mountinfo`, 'utf8')).trim().split('\n');
  return new Map(
    lines.map((line) => {
      const [, , , , point = '', ...rest] = line.split(' ');
      return [point, rest.slice(0, rest.indexOf('-')).join(' ')];
    }),
  );
}
