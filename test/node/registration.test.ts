import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { connectPlugin } from '../../agent/nri/connect.ts';
import { ContainerNotStarted } from '../../scripts/lab/kubelet.ts';
import { type LabNode, startNode } from '../../scripts/lab/node.ts';
import type { PodSpec } from '../../scripts/lab/pod.ts';
import { pushImage } from '../../scripts/lab/push.ts';
import { type AgentProcess, startAgent } from '../../scripts/story/agent-process.ts';
import { programOfImage } from '../../scripts/story/program-of-image.ts';
import { type ApiServer, startApiServer } from '../cluster/api-server/api-server.ts';
import { offers } from './scene.ts';

const NODE_NAME = 'lab';
/** Longer than what a plugin does not wait for. */
const GRACE_SECONDS = 60;

// containerd 1.7 has this lock since 1.7.26; the one of the tests is older.
for (const { containerd, available, reason } of offers.filter(({ containerd: series }) => series === '2')) {
  const title = `registering with containerd ${containerd}${available ? '' : ` (cannot be had here: ${reason})`}`;
  describe.skipIf(!available)(title, { timeout: 60_000 }, () => {
    let node: LabNode;
    let api: ApiServer;
    let kubeconfig: string;
    let agent: AgentProcess | undefined;
    let stubborn: string;
    let secret: string;
    let pods = 0;

    beforeAll(async () => {
      node = await startNode({ containerd, nri: true });
      api = await startApiServer({ parent: node.root, nodeName: NODE_NAME });
      kubeconfig = (await api.kubeconfig(`system:node:${NODE_NAME}`)).path;
      const { anonymous, htpasswd } = node.registries;
      await pushImage(anonymous, 'open/stubborn', '1', { salt: 'stubborn', stopSignal: 'SIGUSR1' });
      await pushImage(htpasswd, 'team-a/app', '1', { salt: 'registration' });
      stubborn = `${anonymous.host}/open/stubborn:1`;
      secret = `${htpasswd.host}/team-a/app:1`;
      await node.kubelet.pullImage(stubborn);
      await node.kubelet.pullImage(secret, {
        username: 'alice',
        password: htpasswd.users.alice ?? '',
      });
    }, 180_000);

    afterAll(async () => {
      await agent?.kill();
      await api.close();
      await node.stop();
    }, 60_000);

    function podOf(namespace: string, image: string): PodSpec {
      pods += 1;
      const containers = [{ name: 'app', image, imagePullPolicy: 'IfNotPresent' as const }];
      return { namespace, name: `pod-${pods}`, uid: randomUUID(), containers };
    }

    /**
     * What the API server says of the pod; with `endsInMs` it was told to end, and its grace lasts so much
     * longer.
     */
    function putPod({ namespace, name, uid, containers }: PodSpec, endsInMs?: number): void {
      const ending = endsInMs !== undefined && {
        deletionTimestamp: new Date(Date.now() + endsInMs).toISOString(),
        deletionGracePeriodSeconds: GRACE_SECONDS,
      };
      api.putPod({
        kind: 'Pod',
        metadata: { namespace, name, uid, ...ending },
        spec: { nodeName: NODE_NAME, containers },
        status: { phase: 'Running' },
      });
    }

    /** Runs a pod whose container ends by SIGKILL only; gives the container's id. */
    async function runStubborn(pod: PodSpec): Promise<string> {
      const [container] = (await node.kubelet.runPod(pod)).containers;
      if (container === undefined) throw new Error('the pod has no container');
      return container.id;
    }

    /** A pod of a tenant that has no secret for the image. */
    async function runDenied() {
      const pod = podOf('team-b', secret);
      putPod(pod);
      return node.kubelet.runPod(pod).catch((error: unknown) => {
        if (!(error instanceof ContainerNotStarted)) throw error;
        return error.message;
      });
    }

    const connected = async (running: AgentProcess): Promise<string | undefined> =>
      (await running.get('/metrics')).body
        .split('\n')
        .find((line) => line.startsWith('pullwarden_nri_connected '));

    it('while it stops a container gracefully holds up the node until that has ended', async () => {
      const id = await runStubborn(podOf('team-a', stubborn));
      const order: string[] = [];
      const stopped = node.kubelet.stopContainer(id, 6).then(() => order.push('the stop ended'));
      await sleep(300);
      await node.kubelet.runSandbox(podOf('team-b', stubborn));
      order.push('a pod began');

      const configured = Promise.withResolvers<void>();
      const connection = connectPlugin(
        {
          configure: () => configured.resolve(),
          synchronize: () => order.push('the plugin is asked'),
          createContainer: () => undefined,
        },
        { socketPath: node.nriSocket ?? '' },
        configured.reject,
      );
      await configured.promise;
      await sleep(300);
      await node.kubelet.runSandbox(podOf('team-b', stubborn));
      order.push('another pod began');
      await stopped;
      connection.close();
      // Word of the stop's end and of the plugin's beginning come on two sockets.
      expect(order).toEqual([
        'a pod began',
        expect.stringMatching(/^the /),
        expect.stringMatching(/^the /),
        'another pod began',
      ]);
    });

    it('is put off by the agent until the pod has ended, and the guard stops what may not run', async () => {
      const pod = podOf('team-a', stubborn);
      const id = await runStubborn(pod);
      putPod(pod, GRACE_SECONDS * 1_000);
      let hasStopped = false;
      const stopped = node.kubelet.stopContainer(id, GRACE_SECONDS).then(() => {
        hasStopped = true;
      });
      const started = startAgent(
        [
          ...['--runtime-endpoint', node.endpoint, '--state-dir', `${node.root}/agent-state`],
          ...['--node-name', NODE_NAME, '--kubeconfig', kubeconfig, '--nri-socket', node.nriSocket ?? ''],
          ...['--mode', 'enforce', '--existing-images', 'verify', '--existing-containers-delay', '0s'],
        ],
        { program: programOfImage() },
      );
      agent = started;
      await vi.waitFor(
        async () =>
          expect(
            (await started.get('/readyz')).body.split('\n').filter((line) => line.includes(': ')),
          ).toEqual([
            'nri: nriDisconnected: containers are stopped after they were created, not before; the veto waits for ' +
              '1 pod that is being terminated: registering would hold up every container of the node until it has ' +
              'ended (containerd issue 14083)',
          ]),
        { timeout: 15_000, interval: 100 },
      );
      const slipped = await runDenied();
      if (typeof slipped === 'string') throw new Error(slipped);
      await vi.waitFor(
        async () =>
          expect((await node.kubelet.containerStatus(slipped.containers[0]?.id ?? '')).state).toBe(
            'CONTAINER_EXITED',
          ),
        { timeout: 15_000, interval: 50 },
      );
      expect([hasStopped, await connected(started)]).toEqual([false, 'pullwarden_nri_connected 0']);
      const waits = started
        .log()
        .split('\n')
        .map((line) => JSON.parse(line))
        .filter((line) => line.reason === 'podsTerminating');
      expect(waits).toEqual([expect.objectContaining({ namespace: 'team-a', pod: pod.name })]);

      await node.kubelet.stopContainer(id, 0);
      await stopped;
      api.deletePod(pod.namespace, pod.name);
      await started.ready();
      expect(await connected(started)).toBe('pullwarden_nri_connected 1');
      expect(await runDenied()).toMatch(/pullwarden: .*registryRefused/);
    });

    it('again after a restart of the runtime is put off for a pod that is then stopped again', async () => {
      const started = agent;
      if (started === undefined) throw new Error('there is no agent');
      const pod = podOf('team-a', stubborn);
      putPod(pod, -1_000);
      await node.killRuntime();
      await node.startRuntime();
      await vi.waitFor(
        async () => expect((await started.get('/readyz')).body).toContain('the veto waits for 1 pod that is'),
        { timeout: 15_000, interval: 50 },
      );
      api.deletePod(pod.namespace, pod.name);
      await started.ready();
      expect(await connected(started)).toBe('pullwarden_nri_connected 1');
    });
  });
}
