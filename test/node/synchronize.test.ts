import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectPlugin } from '../../agent/nri/connect.ts';
import { type LabNode, startNode } from '../../scripts/lab/node.ts';
import type { PodSpec } from '../../scripts/lab/pod.ts';
import { pushImage } from '../../scripts/lab/push.ts';
import { type AgentProcess, startAgent } from '../../scripts/story/agent-process.ts';
import { type ApiServer, startApiServer } from '../cluster/api-server/api-server.ts';
import { offers } from './scene.ts';

const NODE_NAME = 'lab';
/** Few enough for containerd to send more pods than there are. */
const PODS = 2;
const CONTAINERS = 10;
const PANIC = /panic: runtime error: slice bounds out of range/g;

// containerd 1.7 sends all that exists in one message, or gives up.
for (const { containerd, available, reason } of offers.filter(({ containerd: series }) => series === '2')) {
  const title = `20 MiB of environment in two pods, on containerd ${containerd}${available ? '' : ` (cannot be had here: ${reason})`}`;
  describe.skipIf(!available)(title, { timeout: 60_000 }, () => {
    let node: LabNode;
    let api: ApiServer;
    let agent: AgentProcess | undefined;
    let secret: string;

    beforeAll(async () => {
      node = await startNode({ containerd, nri: true });
      api = await startApiServer({ parent: node.root, nodeName: NODE_NAME });
      const { anonymous, htpasswd } = node.registries;
      await pushImage(anonymous, 'open/app', '1', { salt: 'environment' });
      await pushImage(htpasswd, 'team-a/app', '1', { salt: 'synchronize' });
      const open = `${anonymous.host}/open/app:1`;
      secret = `${htpasswd.host}/team-a/app:1`;
      await node.kubelet.pullImage(open);
      await node.kubelet.pullImage(secret, { username: 'alice', password: htpasswd.users.alice ?? '' });
      const imageRef = (await node.kubelet.imageStatus(open))?.id ?? '';
      for (let n = 0; n < PODS; n += 1) {
        const pod = podOf('team-big', open);
        const sandbox = await node.kubelet.runSandbox(pod);
        for (const container of pod.containers) {
          await node.kubelet.createContainer(sandbox, pod, container, imageRef);
        }
      }
    }, 180_000);

    afterAll(async () => {
      await agent?.kill();
      await api.close();
      await node.stop();
    }, 60_000);

    function podOf(namespace: string, image: string, containers = CONTAINERS): PodSpec {
      const env = Object.fromEntries(
        Array.from({ length: 10 }, (_, n) => [`LARGE_${n}`, 'x'.repeat(104_000)]),
      );
      return {
        namespace,
        name: `pod-${randomUUID().slice(0, 8)}`,
        uid: randomUUID(),
        containers: Array.from({ length: containers }, (_, n) => {
          return { name: `app-${n}`, image, imagePullPolicy: 'IfNotPresent' as const, env };
        }),
      };
    }

    /** How often containerd has died of it so far. */
    async function deaths(): Promise<number> {
      return (await readFile(join(node.root, 'containerd.log'), 'utf8')).match(PANIC)?.length ?? 0;
    }

    /** As its service manager does with a runtime that died. */
    async function startAgain(): Promise<void> {
      await node.killRuntime();
      await node.startRuntime();
    }

    it('end the runtime when any plugin registers, ours or not', async () => {
      const socketPath = node.nriSocket ?? '';
      const yes = { createContainer: () => undefined };
      const ended = await new Promise((resolve) => {
        connectPlugin(yes, { socketPath, name: 'any-other' }, resolve);
      });
      expect(ended).toMatchObject({ reason: 'synchronizeUnfinished' });
      await expect.poll(deaths).toBe(1);
    });

    it('end it once by the agent, which then stays away, says so, and stops what is denied afterwards', async () => {
      await startAgain();
      agent = startAgent([
        ...['--runtime-endpoint', node.endpoint, '--state-dir', join(node.root, 'agent-state')],
        ...[
          '--kubeconfig',
          (await api.kubeconfig(`system:node:${NODE_NAME}`)).path,
          '--node-name',
          NODE_NAME,
        ],
        ...['--registry-config-dir', join(node.root, 'certs.d'), '--nri-socket', node.nriSocket ?? ''],
        ...['--mode', 'enforce', '--existing-images', 'verify'],
      ]);
      await expect.poll(deaths, { timeout: 20_000 }).toBe(2);
      await startAgain();
      const readiness = async () => (await agent?.get('/readyz'))?.body;
      await expect
        .poll(readiness, { timeout: 20_000 })
        .toMatch(/nriDisconnected: .*; the veto waits for \d+ min: the runtime died while it told/);
      const pod = podOf('team-b', secret, 1);
      api.putPod({
        metadata: { namespace: pod.namespace, name: pod.name, uid: pod.uid },
        spec: { nodeName: NODE_NAME, containers: pod.containers.map(({ env, ...container }) => container) },
      });
      const [container] = (await node.kubelet.runPod(pod)).containers;
      await expect
        .poll(async () => (await node.kubelet.containerStatus(container?.id ?? '')).state, {
          timeout: 30_000,
        })
        .toBe('CONTAINER_EXITED');
      expect(await deaths()).toBe(2);
    });
  });
}
