import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { CriError } from '../../scripts/lab/cri.ts';
import { ContainerNotStarted } from '../../scripts/lab/kubelet.ts';
import { pushImage } from '../../scripts/lab/push.ts';
import type { AgentProcess } from '../../scripts/story/agent-process.ts';
import type { Tenant, Wanted } from '../../scripts/story/tenants.ts';
import { offers, openScene, type Scene } from './scene.ts';

/** What is refused here is just what the fuse is there for; here it must not open. */
const FLAGS = ['--mode', 'enforce', '--enforcement', 'veto', '--fuse-count', '100000'];
/** The agent is away for so long that several refused containers slip through. */
const AWAY_MS = 2_500;
/** Between one creation and the next of the same tenant. */
const PAUSE_MS = 100;

type Stop = { readonly containerId: string; readonly outcome: string };

for (const { containerd, available, reason } of offers.filter(({ containerd: series }) => series !== '1.6')) {
  const title = `the veto under a stream of creations on containerd ${containerd}${available ? '' : ` (cannot be had here: ${reason})`}`;
  describe.skipIf(!available)(title, { timeout: 180_000 }, () => {
    let scene: Scene;
    const agents: AgentProcess[] = [];
    /** Containers that kubelet's stand-in saw running, by whether they may. */
    const ran = { allowed: new Set<string>(), refused: new Set<string>() };
    let refusals = 0;
    let ask: (tenant: Tenant, imagePullPolicy?: Wanted['imagePullPolicy']) => Omit<Wanted, 'name'>;

    const startAgent = async () => {
      agents.push(await scene.startAgent(...FLAGS));
      await connected();
    };
    const metric = async (name: string): Promise<number> => {
      const { body } = await scene.agent().get('/metrics');
      const line = body.split('\n').find((one) => one.startsWith(`${name} `));
      return Number(line?.split(' ').at(-1));
    };
    const connected = () =>
      vi.waitFor(async () => expect(await metric('pullwarden_nri_connected')).toBe(1), 20_000);
    /** What an agent says that it stopped. */
    const stopsOf = (agent: AgentProcess): Stop[] =>
      agent
        .log()
        .split('\n')
        .flatMap((line) => (line.includes('"action":"stop"') ? [JSON.parse(line)] : []));

    /**
     * Creates one after another, as long as `go` says; what the runtime cannot do meanwhile is passed over.
     */
    async function create(wanted: Omit<Wanted, 'name'>, ids: Set<string>, go: () => boolean): Promise<void> {
      while (go()) {
        try {
          ids.add((await scene.run(wanted)).id);
        } catch (error) {
          if (error instanceof ContainerNotStarted) refusals += 1;
          else if (!(error instanceof CriError)) throw error;
        }
        await sleep(PAUSE_MS);
      }
    }

    beforeAll(async () => {
      scene = await openScene(containerd, true);
      const { htpasswd } = scene.node.registries;
      await pushImage(htpasswd, 'team-a/app', '1', { salt: 'veto outages' });
      const image = `${htpasswd.host}/team-a/app:1`;
      ask = (tenant, imagePullPolicy = 'IfNotPresent') => ({
        tenant,
        image,
        imagePullPolicy,
        registry: htpasswd,
      });
      await startAgent();
      await scene.node.kubelet.pullImage(image, scene.tenants.a.login);
    }, 180_000);

    afterAll(async () => {
      await scene.stop();
    }, 60_000);

    it('killed, hung, restarted, and the runtime restarted: what slips through is stopped and counted', async () => {
      const { a, b, c } = scene.tenants;
      let going = true;
      const go = () => going;
      const streams = [
        create(ask(a), ran.allowed, go),
        create(ask(b), ran.refused, go),
        create(ask(c), ran.refused, go),
        create(ask(b, 'Never'), ran.refused, go),
      ];
      await vi.waitFor(() => expect(refusals).toBeGreaterThan(5), 20_000);
      expect(ran.refused.size).toBe(0);

      await scene.agent().kill();
      await sleep(AWAY_MS);
      await startAgent();
      const afterKill = ran.refused.size;
      expect(afterKill).toBeGreaterThan(0);

      process.kill(scene.agent().pid, 'SIGSTOP');
      await sleep(2 * AWAY_MS);
      process.kill(scene.agent().pid, 'SIGCONT');
      await connected();
      expect(ran.refused.size).toBeGreaterThan(afterKill);

      expect(await scene.agent().stop()).toBe(0);
      await startAgent();

      await scene.node.killRuntime();
      await sleep(500);
      await scene.node.startRuntime();
      await scene.agent().ready();

      // From here on nothing slips through.
      await sleep(500);
      const slipped = ran.refused.size;
      const before = refusals;
      await vi.waitFor(() => expect(refusals).toBeGreaterThan(before + 5), 30_000);
      going = false;
      await Promise.all(streams);
      expect(ran.refused.size).toBe(slipped);
    });

    it('is consistent afterwards: none that is refused runs, every stop is counted, and no other was touched', async () => {
      const of = new Map<string, Set<string>>();
      await vi.waitFor(async () => {
        of.clear();
        for (const { id, state, labels } of await scene.node.kubelet.listContainers()) {
          const tenant = labels['io.kubernetes.pod.namespace'] ?? '';
          of.set(`${tenant} ${state}`, (of.get(`${tenant} ${state}`) ?? new Set()).add(id));
        }
        expect([of.get('team-b CONTAINER_RUNNING'), of.get('team-c CONTAINER_RUNNING')]).toEqual([
          undefined,
          undefined,
        ]);
      }, 20_000);

      let last = new Map<string, string>();
      // `alreadyExited`: the runtime was killed before it could answer that it had stopped it.
      const isStopped = (id: string) => ['stopped', 'alreadyExited'].includes(last.get(id) ?? '');
      // A stop that failed, because the runtime was away, is tried again after 5 s at most.
      await vi.waitFor(() => {
        last = new Map(agents.flatMap(stopsOf).map(({ containerId, outcome }) => [containerId, outcome]));
        expect([...ran.refused].filter((id) => !isStopped(id))).toEqual([]);
      }, 15_000);
      const isTouched = (id: string) => ran.allowed.has(id) && last.has(id);
      const touched = agents
        .flatMap((agent) => agent.verdicts())
        .filter((line) => isTouched(line.containerId));
      expect(touched.map((line) => ({ ...line, enforcement: last.get(line.containerId) }))).toEqual([]);
      expect([...ran.allowed].filter(isTouched)).toEqual([]);
      const running = of.get('team-a CONTAINER_RUNNING') ?? new Set();
      expect([...ran.allowed].filter((id) => !running.has(id))).toEqual([]);
      for (const outcome of ['stopped', 'alreadyExited']) {
        const logged = stopsOf(scene.agent()).filter((stop) => stop.outcome === outcome).length;
        const series = `pullwarden_enforcements_total{action="stop",outcome="${outcome}"}`;
        expect([outcome, await metric(series)]).toEqual([outcome, logged]);
      }
      expect((await scene.agent().get('/readyz')).status).toBe(200);
    });
  });
}
