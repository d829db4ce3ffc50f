import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { pushImage } from '../../scripts/lab/push.ts';
import { newest } from '../node/scene.ts';
import { type ClusterScene, openClusterScene, type PodWanted, type RunningPod } from './scene.ts';

/**
 * What may be away; in brackets, how /readyz names it. The registry is nobody's but the verdicts' concern.
 */
type Part = 'apiServer' | 'runtime' | 'registry';

const READINESS: Readonly<Record<Part, string | undefined>> = {
  apiServer: 'pods',
  runtime: 'runtime',
  registry: undefined,
};

const orders: readonly (readonly [Part, Part, Part])[] = [
  ['apiServer', 'runtime', 'registry'],
  ['apiServer', 'registry', 'runtime'],
  ['runtime', 'apiServer', 'registry'],
  ['runtime', 'registry', 'apiServer'],
  ['registry', 'apiServer', 'runtime'],
  ['registry', 'runtime', 'apiServer'],
];

const MOST_PODS = 8;

/** A pod that was begun at some moment, and what must come of it in the end. */
type Begun = { readonly pod: RunningPod; readonly ends: 'running' | 'stopped' };

describe('a node whose parts go away and come back while pods come and go', { timeout: 120_000 }, () => {
  let scene: ClusterScene;
  let image: string;
  let pid: number;
  const begun: Begun[] = [];
  let removed = 0;

  beforeAll(async () => {
    scene = await openClusterScene(newest(), { identity: 'node', nri: true });
    const { htpasswd } = scene.node.registries;
    await pushImage(htpasswd, 'team-a/app', '1', { salt: 'outages' });
    image = `${htpasswd.host}/team-a/app:1`;
    await scene.startAgent('--mode', 'enforce', '--fuse-count', '100000');
    pid = scene.agent().pid;
  }, 180_000);

  afterAll(async () => scene?.stop(), 60_000);

  function begin(tenant: 'a' | 'b' | 'c' | 'd', imagePullPolicy: PodWanted['imagePullPolicy']): void {
    const ends = tenant === 'a' || tenant === 'd' ? 'running' : 'stopped';
    const registry = scene.node.registries.htpasswd;
    const pod = scene.run({ tenant: scene.tenants[tenant], image, imagePullPolicy, registry });
    begun.push({ pod, ends });
  }

  /** One pod of each tenant comes; of those there were, the oldest go. */
  async function churn(): Promise<void> {
    begin('a', 'IfNotPresent');
    begin('b', 'IfNotPresent');
    begin('c', 'Never');
    begin('d', 'IfNotPresent');
    const oldest = begun.splice(0, begun.length - MOST_PODS);
    removed += oldest.length;
    await Promise.all(oldest.map(({ pod }) => pod.remove()));
  }

  const down: Readonly<Record<Part, () => Promise<void>>> = {
    apiServer: () => scene.api.stop(),
    runtime: () => scene.node.killRuntime(),
    registry: () => scene.node.registries.htpasswd.stop(),
  };
  const up: Readonly<Record<Part, () => Promise<void>>> = {
    apiServer: () => scene.api.start('lost'),
    runtime: () => scene.node.startRuntime(),
    registry: () => scene.node.registries.htpasswd.start(),
  };

  /** What /readyz and the metrics say of each part is how it is. */
  async function expectTruth(away: ReadonlySet<Part>): Promise<void> {
    await vi.waitFor(
      async () => {
        const { status, body } = await scene.agent().get('/readyz?verbose');
        for (const part of ['apiServer', 'runtime'] as const) {
          const sign = away.has(part) ? '-' : '+';
          expect(body).toContain(`[${sign}]${READINESS[part]} `);
        }
        const blind = away.has('apiServer') || away.has('runtime');
        expect(status).toBe(blind ? 503 : 200);
        const { body: metrics } = await scene.agent().get('/metrics');
        expect(metrics).toContain(`pullwarden_runtime_connected ${away.has('runtime') ? 0 : 1}\n`);
        expect(metrics).toContain(`pullwarden_pods_source_ready ${away.has('apiServer') ? 0 : 1}\n`);
        expect(metrics).toContain(`pullwarden_nri_connected ${away.has('runtime') ? 0 : 1}\n`);
      },
      { timeout: 40_000, interval: 100 },
    );
  }

  /** Every pod that is left is as it must be, and stays so. */
  async function expectRightVerdicts(): Promise<void> {
    for (const { pod, ends } of begun) {
      await scene.verdict(pod, (said) => said.startsWith(ends === 'running' ? 'allowed' : 'denied'));
      await scene.becomes(pod, ends);
    }
  }

  it.each(orders)('%s, then %s, then %s', async (...order) => {
    const away = new Set<Part>();
    const leaving = [churn()];
    await expectTruth(away);
    for (const part of order) {
      await down[part]();
      away.add(part);
      leaving.push(churn());
      await sleep(300);
    }
    await expectTruth(away);
    for (const part of order) {
      await up[part]();
      away.delete(part);
      leaving.push(churn());
      await expectTruth(away);
    }
    await Promise.all(leaving);
    await expectRightVerdicts();
    expect(scene.agent().pid).toBe(pid);
  });

  afterEach(async () => {
    for (const part of Object.keys(up) as Part[]) await up[part]();
  });

  it('has counted every verdict once, and what was done about each that did not allow', async () => {
    await vi.waitFor(async () => {
      const { body } = await scene.agent().get('/metrics');
      const lines = scene.agent().verdicts();
      const counted = (name: string, labels = ''): number =>
        [...body.matchAll(new RegExp(`^pullwarden_${name}\\{[^}]*${labels}[^}]*\\} (\\d+)$`, 'gm'))]
          .map(([, value]) => Number(value))
          .reduce((a, b) => a + b, 0);
      for (const verdict of ['allowed', 'denied', 'unverifiable'] as const) {
        expect(counted('verdicts_total', `verdict="${verdict}"`)).toBe(
          lines.filter((line) => line.verdict === verdict).length,
        );
      }
      // A stop that failed, because the runtime was away, is counted again once it succeeded.
      const settled = 'outcome="(?:refused|stopped|alreadyExited|gone|notStarted|ranBefore)"';
      const notAllowed = lines.filter(({ verdict }) => verdict !== 'allowed').length;
      expect(counted('enforcements_total', settled)).toBe(notAllowed);
    }, 15_000);
    expect(removed).toBeGreaterThan(30);
    expect(scene.agent().log()).not.toMatch(/"level":"fatal"|internalError/);
  });
});
