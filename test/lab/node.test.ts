import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cgroupProcesses } from '../../scripts/lab/cgroups.ts';
import { cgroupOf } from '../../scripts/lab/cleanup.ts';
import { CriError } from '../../scripts/lab/cri.ts';
import type { ContainerEvent } from '../../scripts/lab/cri-answers.ts';
import { ContainerNotStarted, type PullAuth } from '../../scripts/lab/kubelet.ts';
import { type LabNode, startNode } from '../../scripts/lab/node.ts';
import { containerdVersions } from '../../scripts/lab/programs.ts';
import { pushImage } from '../../scripts/lab/push.ts';
import type { Registry } from '../../scripts/lab/registry.ts';
import { leftovers } from './leftovers.ts';

const offers = await containerdVersions();

function login(registry: Registry, username: string): PullAuth {
  return { username, password: registry.users[username] ?? '' };
}

async function refusal(pull: Promise<unknown>): Promise<CriError> {
  try {
    await pull;
  } catch (error) {
    if (error instanceof CriError) return error;
    throw error;
  }
  throw new Error('the pull succeeded');
}

for (const { containerd, available, reason } of offers) {
  const title = `containerd ${containerd}${available ? '' : ` cannot be had here: ${reason}`}`;
  describe.skipIf(!available)(title, { timeout: 60_000 }, () => {
    let node: LabNode;
    const sandboxIds: string[] = [];
    let uid = 0;

    const run = async (image: string, auth?: PullAuth, more: { command?: string[] } = {}) => {
      uid += 1;
      const container = { name: 'main', image, imagePullPolicy: 'IfNotPresent' as const, ...more };
      const spec = { namespace: 'team-a', name: `pod-${uid}`, uid: `uid-${uid}`, containers: [container] };
      const pod = await node.kubelet.runPod(spec, auth);
      sandboxIds.push(pod.sandboxId);
      return pod;
    };

    beforeAll(async () => {
      node = await startNode({ containerd, nri: containerd !== '1.6' });
    }, 180_000);

    afterAll(async () => {
      await node.stop();
      await node.stop();
      expect(await leftovers(node.root, sandboxIds)).toEqual([]);
    }, 60_000);

    it('is the version that was asked for and offers NRI only when told to', () => {
      expect(node.version.startsWith(containerd)).toBe(true);
      expect(node.nriSocket !== undefined && existsSync(node.nriSocket)).toBe(containerd !== '1.6');
    });

    it('runs a pod as kubelet would', async () => {
      const { htpasswd } = node.registries;
      const { configDigest } = await pushImage(htpasswd, 'team-a/app', 'v1', { salt: 'node test' });
      const image = `${htpasswd.host}/team-a/app:v1`;
      const pod = await run(image, login(htpasswd, 'alice'));
      const [started] = pod.containers;
      expect(started?.startedAt).toBeGreaterThan(started?.createdAt ?? 0n);
      const listed = (await node.kubelet.listContainers()).find(({ id }) => id === started?.id);
      expect(listed).toMatchObject({
        sandboxId: pod.sandboxId,
        state: 'CONTAINER_RUNNING',
        imageRef: configDigest,
        labels: {
          'io.kubernetes.container.name': 'main',
          'io.kubernetes.pod.namespace': 'team-a',
          'io.kubernetes.pod.uid': 'uid-1',
        },
      });
      if (containerd !== '1.6') expect(listed?.image?.userSpecifiedImage).toBe(image);
      expect(await cgroupProcesses(cgroupOf(node.root))).toHaveLength(2);
      await node.kubelet.stopContainer(started?.id ?? '', 5);
      const { state, exitCode } = await node.kubelet.containerStatus(started?.id ?? '');
      expect({ state, exitCode }).toEqual({ state: 'CONTAINER_EXITED', exitCode: 0 });
      await node.kubelet.removePod(pod.sandboxId);
    });

    it('runs commands that end by themselves', async () => {
      await pushImage(node.registries.anonymous, 'team-a/short', 'v1');
      const image = `${node.registries.anonymous.host}/team-a/short:v1`;
      const pod = await run(image, undefined, { command: ['/app', 'exit', '7'] });
      const id = pod.containers[0]?.id ?? '';
      await expect.poll(async () => (await node.kubelet.containerStatus(id)).exitCode).toBe(7);
      await node.kubelet.removePod(pod.sandboxId);
    });

    it('says as kubelet does why a container does not start', async () => {
      const { htpasswd } = node.registries;
      const container = { name: 'main', image: `${htpasswd.host}/team-a/absent:v1` };
      for (const [imagePullPolicy, expected] of [
        ['Never', 'ErrImageNeverPull'],
        ['IfNotPresent', 'ErrImagePull'],
      ] as const) {
        const containers = [{ ...container, imagePullPolicy }];
        const spec = { namespace: 'team-a', name: imagePullPolicy, uid: imagePullPolicy, containers };
        const error = await node.kubelet.runPod(spec).catch((cause: unknown) => cause);
        if (!(error instanceof ContainerNotStarted)) throw error;
        expect(error.reason).toBe(expected);
        await node.kubelet.removePod(error.sandboxId);
      }
    });

    it('htpasswd: refuses by its own access log, and a new password is in force at once', async () => {
      const { htpasswd } = node.registries;
      await pushImage(htpasswd, 'team-b/app', 'v1', { salt: 'rotation' });
      const image = `${htpasswd.host}/team-b/app:v1`;
      const mark = await htpasswd.mark();
      expect((await refusal(node.kubelet.pullImage(image))).code).toBe(2);
      expect((await htpasswd.requests(mark)).map(({ status }) => status)).toContain(401);
      const old = login(htpasswd, 'bob');
      await node.kubelet.pullImage(image, old);
      await htpasswd.setPassword('bob', 'another');
      expect((await refusal(node.kubelet.pullImage(image, old))).details).toContain('401 Unauthorized');
      await node.kubelet.pullImage(image, login(htpasswd, 'bob'));
      const agents = new Set((await htpasswd.requests()).map(({ userAgent }) => userAgent.split('/')[0]));
      expect(agents).toEqual(new Set(['containerd']));
    });

    it('token: only who is granted a repository may pull it', async () => {
      const { token } = node.registries;
      await pushImage(token, 'team-a/app', 'v1', { salt: 'token' });
      const image = `${token.host}/team-a/app:v1`;
      await node.kubelet.pullImage(image, login(token, 'alice'));
      for (const [name, auth, text] of [
        ['no credentials', undefined, 'insufficient_scope: authorization failed'],
        ['wrong password', { username: 'alice', password: 'wrong' }, 'failed to authorize'],
        ['without right', login(token, 'bob'), 'insufficient_scope: authorization failed'],
      ] as const) {
        const { code, details } = await refusal(node.kubelet.pullImage(image, auth));
        process.stdout.write(`containerd ${containerd}, token registry, ${name}: ${details}\n`);
        expect({ code, details }).toEqual({ code: 2, details: expect.stringContaining(text) });
      }
      token.setGrants({ alice: [], bob: ['team-a/'] });
      await node.kubelet.pullImage(image, login(token, 'bob'));
      await refusal(node.kubelet.pullImage(image, login(token, 'alice')));
      expect(token.tokenRequests().some(({ user, status }) => user === 'bob' && status === 200)).toBe(true);
    });

    it('a registry goes away and comes back on the same port', async () => {
      const { anonymous } = node.registries;
      await pushImage(anonymous, 'team-a/steady', 'v1');
      const image = `${anonymous.host}/team-a/steady:v1`;
      await anonymous.stop();
      expect((await refusal(node.kubelet.pullImage(image))).details).toContain('connection refused');
      await anonymous.start();
      await node.kubelet.pullImage(image);
    });

    it('tells events, where the runtime has them', async () => {
      const { anonymous } = node.registries;
      const abort = new AbortController();
      const events: ContainerEvent[] = [];
      const reading = (async () => {
        for await (const event of node.kubelet.events(abort.signal)) events.push(event);
      })();
      if (containerd === '1.6') {
        await expect(reading).rejects.toMatchObject({ code: 12 });
        return;
      }
      await sleep(300);
      await pushImage(anonymous, 'team-a/events', 'v1');
      const pod = await run(`${anonymous.host}/team-a/events:v1`);
      const id = pod.containers[0]?.id;
      const types = () => events.filter(({ containerId }) => containerId === id).map(({ type }) => type);
      await expect.poll(types).toEqual(['CONTAINER_CREATED_EVENT', 'CONTAINER_STARTED_EVENT']);
      await node.kubelet.removePod(pod.sandboxId);
      abort.abort();
      await reading;
    });

    it('containers survive the runtime, which comes back on the same socket', async () => {
      const { anonymous } = node.registries;
      await pushImage(anonymous, 'team-a/survivor', 'v1');
      const pod = await run(`${anonymous.host}/team-a/survivor:v1`);
      const id = pod.containers[0]?.id ?? '';
      for (const end of [node.stopRuntime, node.killRuntime]) {
        await end();
        await expect(node.kubelet.listContainers()).rejects.toMatchObject({ code: 14 });
        expect(await cgroupProcesses(cgroupOf(node.root))).toHaveLength(2);
        await node.startRuntime();
        expect((await node.kubelet.containerStatus(id)).state).toBe('CONTAINER_RUNNING');
      }
    });
  });
}
