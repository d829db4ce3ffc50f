import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ContainerNotStarted } from '../../scripts/lab/kubelet.ts';
import { pushImage } from '../../scripts/lab/push.ts';
import { podOf, type Tenant, type Wanted, writeManifests } from '../../scripts/story/tenants.ts';
import { type HeldRegistry, startHeldRegistry } from './held-registry.ts';
import { offers, openScene, type Scene } from './scene.ts';
import { listenToStarts, type StartedTasks } from './started-tasks.ts';

const ATTEMPTS = 200;
const AT_ONCE = 20;
/** The first refusal in a row is asked about again after 10 s, and kubelet tries again after 10 to 15 s. */
const REFUSAL_HELD_MS = 11_000;
/** So many refusals of two namespaces are just what the fuse is there for; here it must not open. */
const FLAGS = ['--mode', 'enforce', '--pull-timeout', '10s', '--fuse-count', '100000'];

for (const { containerd, available, reason } of offers.filter(({ containerd: series }) => series !== '1.6')) {
  const title = `the veto on containerd ${containerd}${available ? '' : ` (cannot be had here: ${reason})`}`;
  describe.skipIf(!available)(title, { timeout: 180_000 }, () => {
    let scene: Scene;
    let held: HeldRegistry;
    let image: string;
    let started: StartedTasks;
    const sandboxes = new Set<string>();
    let ask: (tenant: Tenant, imagePullPolicy?: Wanted['imagePullPolicy']) => Omit<Wanted, 'name'>;

    /** Why kubelet would say that the container does not run; undefined when it does. */
    const refusalOf = async (wanted: Omit<Wanted, 'name'>): Promise<string | undefined> => {
      try {
        await scene.run(wanted);
        return undefined;
      } catch (error) {
        if (!(error instanceof ContainerNotStarted) || error.reason !== 'CreateContainerError') throw error;
        sandboxes.add(error.sandboxId);
        return error.message;
      }
    };
    const metric = async (name: string): Promise<number> => {
      const { body } = await scene.agent().get('/metrics');
      return Number(
        body
          .split('\n')
          .find((line) => line.startsWith(`${name} `))
          ?.split(' ')
          .at(-1),
      );
    };

    beforeAll(async () => {
      scene = await openScene(containerd, true);
      const { htpasswd } = scene.node.registries;
      held = await startHeldRegistry(htpasswd.host);
      await scene.node.addRegistry(held.host);
      await pushImage(htpasswd, 'team-a/app', '1', { salt: 'veto' });
      image = `${held.host}/team-a/app:1`;
      ask = (tenant, imagePullPolicy = 'IfNotPresent') => ({
        tenant,
        image,
        imagePullPolicy,
        registry: { ...htpasswd, host: held.host },
      });
      // The runtime's own word for what was started, beside what kubelet's stand-in saw.
      started = await listenToStarts(scene.node, containerd);
      await scene.startAgent(...FLAGS);
      await vi.waitFor(async () => expect(await metric('pullwarden_nri_connected')).toBe(1), 10_000);
      await scene.node.kubelet.pullImage(image, scene.tenants.a.login);
    }, 180_000);

    afterAll(async () => {
      started.close();
      await held.close();
      await scene.stop();
    }, 60_000);

    it('refuses before the container exists, in words that name the image and the reason', async () => {
      const { b, c } = scene.tenants;
      expect(await refusalOf(ask(b))).toMatch(
        /pullwarden: image ".*": this pod has no imagePullSecret, and .* does not grant it without one \(registryRefused\)/,
      );
      expect(await refusalOf(ask(b, 'Never'))).toMatch(/is not present with pull policy of Never/);
      expect(await refusalOf(ask(c))).toMatch(/registryRefused/);
    });

    it('lets by who may, with one verdict for each container', async () => {
      const { a, d } = scene.tenants;
      for (const tenant of [a, d, a]) {
        const { id } = await scene.run(ask(tenant));
        await sleep(300);
        expect(await scene.isRunning(id)).toBe(true);
        expect(
          scene
            .agent()
            .verdicts()
            .filter(({ containerId }) => containerId === id),
        ).toHaveLength(1);
      }
    });

    it(`starts none of ${ATTEMPTS} refused containers, ${AT_ONCE} at a time`, async () => {
      const { b, c } = scene.tenants;
      const { kubelet } = scene.node;
      started.clear();
      const imageRef = (await kubelet.imageStatus(image))?.id ?? '';
      const pods = await Promise.all(
        Array.from({ length: AT_ONCE }, async (_, n) => {
          const asked = ask(n % 2 === 0 ? b : c, n % 4 < 2 ? 'IfNotPresent' : 'Never');
          const wanted = { ...asked, name: `refused-${n}` };
          const pod = podOf(wanted);
          await writeManifests(scene.podsDirectory, wanted, pod);
          const sandbox = await kubelet.runSandbox(pod);
          sandboxes.add(sandbox);
          return { pod, sandbox };
        }),
      );
      let refused = 0;
      for (let attempt = 1; attempt <= ATTEMPTS / AT_ONCE; attempt += 1) {
        const refusals = await Promise.all(
          pods.flatMap(({ pod, sandbox }) =>
            pod.containers.map((container) =>
              kubelet
                .createContainer(sandbox, pod, container, imageRef, attempt)
                .then(() => undefined, String),
            ),
          ),
        );
        refused += refusals.filter((refusal) => refusal?.includes('pullwarden: ')).length;
      }
      expect(refused).toBe(ATTEMPTS);
      const containers = await scene.node.kubelet.listContainers();
      expect(
        containers.filter(({ labels }) =>
          ['team-b', 'team-c'].includes(labels['io.kubernetes.pod.namespace'] ?? ''),
        ),
      ).toEqual([]);
      // Sandboxes start as well, and are all that may.
      await vi.waitFor(() => expect(started.ids.size).toBeGreaterThanOrEqual(AT_ONCE), 10_000);
      await sleep(500);
      expect([...started.ids].filter((id) => !sandboxes.has(id))).toEqual([]);
    });

    it('refuses what kubelet is about to run where the agent knows the pod only as it was before', async () => {
      const { anonymous } = scene.node.registries;
      await pushImage(anonymous, 'open/app', '1', { salt: 'open' });
      const open = { ...ask(scene.tenants.b), name: 'changed', image: `${anonymous.host}/open/app:1` };
      await scene.node.kubelet.pullImage(open.image);
      const before = podOf(open);
      await writeManifests(scene.podsDirectory, open, before);
      const since = {
        ...before,
        containers: before.containers.map((container) => ({ ...container, image })),
      };
      started.clear();
      const { kubelet } = scene.node;
      const imageRef = (await kubelet.imageStatus(image))?.id ?? '';
      const sandbox = await kubelet.runSandbox(since);
      const [container] = since.containers;
      if (container === undefined) throw new Error('the pod has no container');
      let attempts = 0;
      // B has asked so much that it waits no longer than for what is on record: on a busy node the next try
      // hears it.
      await vi.waitFor(
        async () => {
          attempts += 1;
          const refusal = await kubelet
            .createContainer(sandbox, since, container, imageRef, attempts)
            .catch(String);
          expect(refusal).toMatch(
            /open\/app:1": the image is not one that this pod may pull \(imageMismatch\)/,
          );
        },
        { timeout: 20_000, interval: 500 },
      );
      await sleep(500);
      expect([...started.ids]).toEqual([sandbox]);
    });

    it('answers in time when the registry does not, and from the result at the next try', async () => {
      const { d } = scene.tenants;
      await pushImage(scene.node.registries.htpasswd, 'team-d/slow', '1', { salt: 'slow' });
      const slow = { ...ask(d), image: `${held.host}/team-d/slow:1` };
      await scene.node.kubelet.pullImage(slow.image, d.login);
      held.hold();
      expect(await refusalOf(slow)).toMatch(/pullwarden: verification in progress/);
      expect(await metric('pullwarden_nri_connected')).toBe(1);
      held.release();
      await vi.waitFor(async () => expect(await refusalOf(slow)).toBeUndefined(), {
        timeout: 40_000,
        interval: 1_000,
      });
    });

    it('says why at kubelet`s next try, though the backoff is over by then and the registry hangs again', async () => {
      const { c, d } = scene.tenants;
      const { kubelet } = scene.node;
      await pushImage(scene.node.registries.htpasswd, 'team-d/late', '1', { salt: 'late' });
      const wanted = { ...ask(c), image: `${held.host}/team-d/late:1`, name: 'late' };
      const imageRef = await kubelet.pullImage(wanted.image, d.login);
      const pod = podOf(wanted);
      const [container] = pod.containers;
      if (container === undefined) throw new Error('the pod has no container');
      held.hold();
      await writeManifests(scene.podsDirectory, wanted, pod);
      const sandbox = await kubelet.runSandbox(pod);
      const createAgain = (attempt: number): Promise<string> =>
        kubelet.createContainer(sandbox, pod, container, imageRef, attempt).catch(String);
      expect(await createAgain(0)).toMatch(/verification in progress/);
      held.release();
      await sleep(REFUSAL_HELD_MS);
      held.hold();
      expect(await createAgain(1)).toMatch(/registryRefused/);
      held.release();
    });

    it('refuses nothing in audit mode, nor in an exempt namespace', async () => {
      const { b } = scene.tenants;
      await scene.agent().stop();
      await scene.startAgent('--mode', 'enforce', '--exempt-namespaces', 'team-b');
      expect(await refusalOf(ask(b, 'Never'))).toBeUndefined();
      await scene.agent().stop();
      await scene.startAgent('--mode', 'audit');
      expect(await refusalOf(ask(b, 'Never'))).toBeUndefined();
      await scene.agent().stop();
      await scene.startAgent(...FLAGS);
    });

    it('while the plugin is away the guard stops what slipped through; afterwards nothing starts any more', async () => {
      const { b } = scene.tenants;
      await scene.agent().kill();
      const slipped = await scene.run(ask(b, 'Never'));
      expect(await scene.isRunning(slipped.id)).toBe(true);
      await scene.startAgent(...FLAGS);
      await scene.ended(slipped.id);
      await vi.waitFor(async () => expect(await metric('pullwarden_nri_connected')).toBe(1), 10_000);
      expect(await refusalOf(ask(b, 'Never'))).toMatch(/pull policy of Never/);
    });

    it('a plugin that hangs is dropped, its refusals slip through, and are stopped once it is back', async () => {
      const { b } = scene.tenants;
      process.kill(scene.agent().pid, 'SIGSTOP');
      const slipped = await scene.run(ask(b, 'Never'));
      expect(await scene.isRunning(slipped.id)).toBe(true);
      process.kill(scene.agent().pid, 'SIGCONT');
      await scene.ended(slipped.id);
      await vi.waitFor(async () => expect(await refusalOf(ask(b, 'Never'))).toMatch(/pull policy of Never/), {
        timeout: 20_000,
        interval: 500,
      });
    });

    it('comes back by itself when the runtime restarts', async () => {
      const { a, b } = scene.tenants;
      await scene.node.killRuntime();
      await vi.waitFor(
        async () => expect((await scene.agent().get('/readyz')).body).toMatch(/nri: nriDisconnected/),
        10_000,
      );
      await scene.node.startRuntime();
      await scene.agent().ready();
      expect(await refusalOf(ask(b))).toMatch(/registryRefused/);
      expect(await refusalOf(ask(a))).toBeUndefined();
    });
  });
}
