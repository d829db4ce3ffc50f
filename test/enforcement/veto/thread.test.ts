import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type LabNode, startNode } from '../../../scripts/lab/node.ts';
import { containerdVersions } from '../../../scripts/lab/programs.ts';
import { pushImage } from '../../../scripts/lab/push.ts';
import type { ChildOrder, ChildTold } from './child-veto.ts';

const child = fileURLToPath(new URL('./child-veto.ts', import.meta.url));
const BUSY_MS = 5_000;
const REQUEST_TIMEOUT_MS = 2_000;

const offers = (await containerdVersions()).filter(({ containerd }) => containerd === '2');

for (const { containerd, available, reason } of offers) {
  const title = `the veto's thread on containerd ${containerd}${available ? '' : ` (cannot be had here: ${reason})`}`;
  describe.skipIf(!available)(title, { timeout: 60_000 }, () => {
    let node: LabNode;
    let image: string;
    let pods = 0;
    const children: ChildProcess[] = [];

    beforeAll(async () => {
      node = await startNode({ containerd, nri: true });
      const { anonymous } = node.registries;
      await pushImage(anonymous, 'team-a/app', 'v1', { salt: 'veto thread' });
      image = `${anonymous.host}/team-a/app:v1`;
      await node.kubelet.pullImage(image);
    }, 180_000);

    afterEach(async () => {
      for (const process of children.splice(0)) {
        if (process.exitCode !== null) continue;
        const exited = new Promise((resolve) => process.once('exit', resolve));
        process.kill('SIGKILL');
        await exited;
      }
    });

    afterAll(async () => {
      await node.stop();
    }, 60_000);

    /** An agent whose main thread is busy on demand; resolves once the runtime asks it. */
    async function agent(mode: 'audit' | 'enforce' = 'enforce', onUnverifiable: 'allow' | 'deny' = 'deny') {
      const process = fork(child, [node.nriSocket ?? '', mode, onUnverifiable]);
      children.push(process);
      const heard: ChildTold[] = [];
      process.on('message', (message) => heard.push(message as ChildTold));
      const count = (told: ChildTold['told']): number => heard.filter((one) => one.told === told).length;
      await expect.poll(() => count('connected'), { timeout: 30_000 }).toBe(1);
      return {
        process,
        heard,
        count,
        /** That the container of the pod that runs next was judged ahead. */
        prepareNext(namespace: string, imageNames = [image], areNamesKept = false) {
          const pod = { namespace, name: `pod-${pods + 1}`, uid: `uid-${pods + 1}` };
          process.send({
            prepared: { pod, containerName: 'app', imageNames, areNamesKept, forMs: 30_000 },
          } satisfies ChildOrder);
        },
        namesChanged() {
          process.send({ namesChanged: true } satisfies ChildOrder);
        },
        setTerminating(terminating: boolean) {
          process.send({ terminating } satisfies ChildOrder);
        },
        async makeBusy() {
          process.send({ busyMs: BUSY_MS } satisfies ChildOrder);
          await expect.poll(() => count('busy')).toBe(1);
        },
        idle: () => expect.poll(() => count('idle'), { timeout: 2 * BUSY_MS }).toBe(1),
      };
    }

    /** Runs a pod; gives why kubelet would say that it does not run, and how long it was waited for. */
    async function run(namespace: string, uid = `uid-${pods + 1}`) {
      pods += 1;
      const pod = {
        namespace,
        name: `pod-${pods}`,
        uid,
        containers: [{ name: 'app', image, imagePullPolicy: 'IfNotPresent' as const }],
      };
      const sandbox = await node.kubelet.runSandbox(pod);
      const [container] = pod.containers;
      if (container === undefined) throw new Error('the pod has no container');
      const present = await node.kubelet.imageStatus(image);
      const began = performance.now();
      const refusal = await node.kubelet
        .createContainer(sandbox, pod, container, present?.id ?? '')
        .then(() => undefined)
        .catch((error: unknown) => String(error));
      return { refusal, tookMs: performance.now() - began };
    }

    it('gives the answer of the main thread', async () => {
      const { heard } = await agent();
      expect((await run('team-a')).refusal).toBeUndefined();
      expect((await run('team-b')).refusal).toMatch(/desc = pullwarden: not this one$/);
      expect(heard.filter(({ told }) => told === 'asked')).toEqual([
        { told: 'asked', namespace: 'team-a' },
        { told: 'asked', namespace: 'team-b' },
      ]);
    });

    it('refuses in time while the main thread is busy, is not dropped, and answers as before afterwards', async () => {
      const { makeBusy, idle, count, heard } = await agent();
      await makeBusy();
      const { refusal, tookMs } = await run('team-a');
      expect(refusal).toMatch(/desc = pullwarden: verification in progress$/);
      expect(tookMs).toBeLessThan(REQUEST_TIMEOUT_MS);
      expect(count('idle')).toBe(0);
      await idle();
      expect((await run('team-a')).refusal).toBeUndefined();
      expect((await run('team-b')).refusal).toMatch(/not this one$/);
      expect(count('disconnected')).toBe(0);
      expect(count('inProgress')).toBe(1);
      // The question that nobody waits for any more is not judged late.
      expect(heard.filter(({ told }) => told === 'asked')).toHaveLength(2);
    });

    it('asks about what was judged ahead, and allows it by itself while the main thread is busy', async () => {
      const { prepareNext, makeBusy, idle, count, heard } = await agent();
      prepareNext('team-b');
      // The main thread sees that its tag was moved meanwhile, say.
      expect((await run('team-b')).refusal).toMatch(/not this one$/);
      prepareNext('team-b');
      await makeBusy();
      const { refusal, tookMs } = await run('team-b');
      expect(refusal).toBeUndefined();
      expect(tookMs).toBeLessThan(1_500);
      expect(count('idle')).toBe(0);
      await idle();
      await expect.poll(() => count('createdAsPrepared')).toBe(1);
      expect(count('inProgress')).toBe(0);
      expect(heard.filter(({ told }) => told === 'asked')).toHaveLength(1);
    });

    it('creates what was judged ahead without a question, until a name of an image may have changed', async () => {
      const { prepareNext, namesChanged, count, heard } = await agent();
      prepareNext('team-b', [image], true);
      expect((await run('team-b')).refusal).toBeUndefined();
      await expect.poll(() => count('createdAsPrepared')).toBe(1);
      expect(heard.filter(({ told }) => told === 'asked')).toEqual([]);
      prepareNext('team-b', [image], true);
      namesChanged();
      expect((await run('team-b')).refusal).toMatch(/not this one$/);
      prepareNext('team-b', ['another.example.com/team-a/app:v1'], true);
      expect((await run('team-b')).refusal).toMatch(/not this one$/);
    });

    it('allows by itself only the next container of what was judged ahead, under the names of its content', async () => {
      const { prepareNext, makeBusy, count } = await agent();
      prepareNext('team-b', ['another.example.com/team-a/app:v1']);
      await makeBusy();
      expect((await run('team-b')).refusal).toMatch(/verification in progress$/);
      expect(count('idle')).toBe(0);
    });

    it('allows what may not be refused, at once, while the main thread is busy', async () => {
      const { makeBusy, count } = await agent();
      await makeBusy();
      for (const outcome of [await run('kube-system'), await run('team-b', 'uid-agent')]) {
        expect(outcome.refusal).toBeUndefined();
        expect(outcome.tookMs).toBeLessThan(1_000);
      }
      expect(count('idle')).toBe(0);
      expect(count('asked')).toBe(0);
    });

    it('in audit mode allows everything at once', async () => {
      const { makeBusy, count } = await agent('audit');
      await makeBusy();
      const { refusal, tookMs } = await run('team-b');
      expect(refusal).toBeUndefined();
      expect(tookMs).toBeLessThan(1_000);
      expect(count('idle')).toBe(0);
    });

    it('refuses in time with --on-unverifiable allow, too: only the main thread knows who has standing', async () => {
      const { makeBusy, idle, count } = await agent('enforce', 'allow');
      await makeBusy();
      const { refusal, tookMs } = await run('team-a');
      expect(refusal).toMatch(/desc = pullwarden: verification in progress$/);
      expect(tookMs).toBeLessThan(REQUEST_TIMEOUT_MS);
      expect(count('idle')).toBe(0);
      await idle();
      expect((await run('team-a')).refusal).toBeUndefined();
      expect(count('disconnected')).toBe(0);
    });

    it('comes back when its thread crashes', async () => {
      const { process, heard, count } = await agent();
      process.send({ crash: true });
      await expect.poll(() => count('connected'), { timeout: 10_000 }).toBe(2);
      expect(heard.filter(({ told }) => told === 'disconnected')).toEqual([
        {
          told: 'disconnected',
          reason: 'internal',
          message: expect.stringMatching(/^the NRI thread crashed/),
        },
      ]);
      expect((await run('team-b')).refusal).toMatch(/not this one$/);
      expect(process.exitCode).toBeNull();
    });

    it('stays away after a restart of the runtime while it must, also when nobody can say whether it must', async () => {
      const { setTerminating, makeBusy, idle, count } = await agent();
      setTerminating(true);
      await node.killRuntime();
      await node.startRuntime();
      await expect.poll(() => count('disconnected'), { timeout: 10_000 }).toBeGreaterThan(0);
      const asked = count('mayRegister');
      await expect.poll(() => count('mayRegister'), { timeout: 10_000 }).toBeGreaterThan(asked + 1);
      // Would be refused, were it asked about.
      expect((await run('team-b')).refusal).toBeUndefined();
      await makeBusy();
      setTerminating(false);
      expect((await run('team-b')).refusal).toBeUndefined();
      expect([count('idle'), count('connected')]).toEqual([0, 1]);
      await idle();
      await expect.poll(() => count('connected'), { timeout: 10_000 }).toBe(2);
      expect((await run('team-b')).refusal).toMatch(/not this one$/);
    });

    it('ends with the agent, and containers are created without it', async () => {
      const { process } = await agent();
      const exited = new Promise((resolve) => process.once('exit', resolve));
      process.send({ close: true });
      expect(await exited).toBe(0);
      expect((await run('team-b')).refusal).toBeUndefined();
    });

    it('says why it cannot connect, and goes on trying', async () => {
      const { process, count } = await agent();
      expect(process.exitCode).toBeNull();
      await node.killRuntime();
      await expect.poll(() => count('disconnected')).toBeGreaterThan(0);
      await node.startRuntime();
      await expect.poll(() => count('connected'), { timeout: 10_000 }).toBe(2);
    });
  });
}
