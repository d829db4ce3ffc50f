import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { pushImage } from '../../scripts/lab/push.ts';
import type { Registry } from '../../scripts/lab/registry.ts';
import type { Wanted } from '../../scripts/story/tenants.ts';
import { type HeldRegistry, startHeldRegistry } from './held-registry.ts';
import { newest, offers, openScene, type Scene } from './scene.ts';

const main = fileURLToPath(new URL('../../agent/main.ts', import.meta.url));

type Ask = Omit<Wanted, 'name'>;

/** Flags of an agent that finds nobody where it looks for this registry, which the runtime reaches. */
async function onlyTheRuntimeReaches({ node }: Scene, host: string): Promise<string[]> {
  const folder = join(node.root, 'elsewhere');
  await mkdir(join(folder, host), { recursive: true });
  await writeFile(join(folder, host, 'hosts.toml'), 'server = "http://127.0.0.1:1"');
  return ['--mode', 'enforce', '--pull-timeout', '20s', '--registry-config-dir', folder];
}

for (const { containerd, available, reason } of offers) {
  const title = `on containerd ${containerd}${available ? '' : ` (cannot be had here: ${reason})`}`;
  describe.skipIf(!available)(title, { timeout: 90_000 }, () => {
    let scene: Scene;
    let held: HeldRegistry;
    let image: string;
    /** The private registry by way of the connection that can be held. */
    let registry: Registry;

    beforeAll(async () => {
      scene = await openScene(containerd);
      const { htpasswd } = scene.node.registries;
      held = await startHeldRegistry(htpasswd.host);
      await scene.node.addRegistry(held.host);
      await pushImage(htpasswd, 'team-a/app', '1', { salt: 'faults' });
      registry = { ...htpasswd, host: held.host };
      image = `${held.host}/team-a/app:1`;
      await scene.startAgent('--mode', 'enforce', '--pull-timeout', '20s');
      await scene.node.kubelet.pullImage(image, scene.tenants.a.login);
    }, 180_000);

    afterAll(async () => {
      await held.close();
      await scene.stop();
    }, 60_000);

    const of = (
      tenant: Wanted['tenant'],
      imagePullPolicy: Wanted['imagePullPolicy'] = 'IfNotPresent',
    ): Ask => ({
      tenant,
      image,
      registry,
      imagePullPolicy,
    });
    const records = (): string =>
      execFileSync(process.execPath, [main, 'records', 'list', '-o', 'json', '--state-dir', scene.stateDir], {
        encoding: 'utf8',
      });
    const isBeingAsked = () => vi.waitFor(() => expect(held.waiting()).toBeGreaterThan(0), 10_000);

    it('a kill -9 in the middle of a question gives no permission that the registry did not give', async () => {
      const { b, c, a } = scene.tenants;
      held.hold();
      const ofB = await scene.run(of(b));
      const ofC = await scene.run(of(c));
      await isBeingAsked();
      await scene.agent().kill();
      held.release();

      await scene.startAgent('--mode', 'enforce', '--pull-timeout', '20s');
      expect(await scene.agent().verdictOf(ofB.id)).toMatchObject({
        verdict: 'denied',
        reason: 'registryRefused',
      });
      expect(await scene.agent().verdictOf(ofC.id)).toMatchObject({
        verdict: 'denied',
        reason: 'registryRefused',
      });
      await scene.ended(ofB.id);
      await scene.ended(ofC.id);
      const never = await scene.run(of(b, 'Never'));
      expect(await scene.agent().verdictOf(never.id)).toMatchObject({ reason: 'neverWithoutRecord' });
      expect(records()).not.toContain(scene.tenants.b.namespace);

      const ofA = await scene.run(of(a));
      expect(await scene.agent().verdictOf(ofA.id)).toMatchObject({
        verdict: 'allowed',
        reason: 'repullSucceeded',
      });
      expect(await scene.isRunning(ofA.id)).toBe(true);
    });

    it('the runtime may be killed in the middle of a re-pull and of its events, and come back', async () => {
      const { d, b } = scene.tenants;
      await scene.agent().stop();
      await scene.startAgent(...(await onlyTheRuntimeReaches(scene, held.host)));
      held.hold();
      const ofD = await scene.run(of(d));
      await isBeingAsked();
      await scene.node.killRuntime();
      await vi.waitFor(
        async () => expect((await scene.agent().get('/readyz')).body).toMatch(/^runtime: runtimeUnavailable/),
        10_000,
      );
      held.release();
      await scene.node.startRuntime();
      await scene.agent().ready();

      const again = await scene.run(of(d));
      expect(await scene.agent().verdictOf(again.id)).toMatchObject({ verdict: 'allowed' });
      const ofB = await scene.run(of(b));
      expect(await scene.agent().verdictOf(ofB.id)).toMatchObject({ reason: 'registryRefused' });
      await scene.ended(ofB.id);
      // D's first container could not be verified while the runtime was away; it was not allowed on that
      // account.
      const first = scene
        .agent()
        .verdicts()
        .filter(({ containerId }) => containerId === ofD.id);
      expect(first[0]).toMatchObject({ verdict: 'unverifiable', reason: 'runtimeUnavailable' });
    });

    it('twenty containers of a tenant without the right cost the registry one question, and all are stopped', async () => {
      const { b } = scene.tenants;
      await scene.agent().stop();
      await scene.startAgent('--mode', 'enforce');
      const before = await scene.node.registries.htpasswd.mark();
      const started = await Promise.all(Array.from({ length: 20 }, () => scene.run(of(b))));
      for (const { id } of started) {
        expect(await scene.agent().verdictOf(id)).toMatchObject({
          verdict: 'denied',
          reason: 'registryRefused',
        });
        await scene.ended(id);
      }
      // One question; where a busy machine lets it run into its deadline, the runtime asks in its place.
      const requests = (await scene.node.registries.htpasswd.requests(before)).length;
      expect(requests).toBeGreaterThan(0);
      expect(requests).toBeLessThanOrEqual(4);
    });
  });
}

describe('a registry that hangs', { timeout: 120_000 }, () => {
  let scene: Scene;
  let held: HeldRegistry;
  let ask: (tenant: Wanted['tenant']) => Ask;

  beforeAll(async () => {
    scene = await openScene(newest());
    const { htpasswd } = scene.node.registries;
    held = await startHeldRegistry(htpasswd.host);
    await scene.node.addRegistry(held.host);
    await pushImage(htpasswd, 'team-a/app', '1', { salt: 'hangs' });
    const image = `${held.host}/team-a/app:1`;
    ask = (tenant) => ({
      tenant,
      image,
      registry: { ...htpasswd, host: held.host },
      imagePullPolicy: 'IfNotPresent',
    });
    await scene.startAgent('--mode', 'enforce', '--pull-timeout', '1s');
    await scene.node.kubelet.pullImage(image, scene.tenants.a.login);
  }, 180_000);

  afterAll(async () => {
    await held.close();
    await scene.stop();
  }, 60_000);

  it('permits nothing: a new container is stopped, and judged again once the registry answers', async () => {
    held.hold();
    const { a } = scene.tenants;
    const first = await scene.run(ask(a));
    expect(await scene.agent().verdictOf(first.id)).toMatchObject({
      verdict: 'unverifiable',
      reason: expect.stringMatching(/^(registryUnavailable|verificationInProgress)$/),
    });
    await scene.ended(first.id);
    held.release();
    // Kubelet starts it again. The answer to the first question may come in late and be on record by then;
    // else the registry is asked again once its backoff of 10 s is over.
    await vi.waitFor(
      async () => {
        const again = await scene.run(ask(a));
        expect(await scene.agent().verdictOf(again.id)).toMatchObject({
          verdict: 'allowed',
          reason: expect.stringMatching(/^(repullSucceeded|recordMatched)$/),
        });
      },
      { timeout: 30_000, interval: 2_000 },
    );
  });

  it('does not let a new container run for as long as its registry takes', async () => {
    await scene.agent().stop();
    held.hold();
    await scene.startAgent('--mode', 'enforce', '--pull-timeout', '60s');
    const ofB = await scene.run(ask(scene.tenants.b));
    await scene.ended(ofB.id);
    expect(await scene.agent().verdictOf(ofB.id)).toMatchObject({
      verdict: 'unverifiable',
      reason: expect.stringMatching(/^(registryUnavailable|verificationInProgress)$/),
    });
    held.release();
    await vi.waitFor(
      async () => {
        const again = await scene.run(ask(scene.tenants.b));
        expect(await scene.agent().verdictOf(again.id)).toMatchObject({ reason: 'registryRefused' });
      },
      { timeout: 30_000, interval: 2_000 },
    );
    const toldOfFirst = scene
      .agent()
      .verdicts()
      .filter(({ containerId }) => containerId === ofB.id);
    expect(toldOfFirst).toHaveLength(1);
  });

  it('does not stop what ran when the agent first came to the node, until the registry refuses', async () => {
    const { b } = scene.tenants;
    await scene.agent().stop();
    // The runtime keeps an event that nobody takes, and what it announces counts as new.
    const auditor = await scene.startAgent('--mode', 'audit');
    const ofB = await scene.run(ask(b));
    await auditor.verdictOf(ofB.id);
    await auditor.stop();
    held.hold();
    const firstRun = ['--state-dir', join(scene.node.root, 'first-run')];
    await scene.startAgent(
      '--mode',
      'enforce',
      '--pull-timeout',
      '1s',
      '--existing-images',
      'verify',
      ...firstRun,
    );
    await vi.waitFor(
      async () => expect((await scene.agent().get('/metrics')).body).toMatch(/outcome="ranBefore"\} [1-9]/),
      { timeout: 30_000 },
    );
    expect(await scene.isRunning(ofB.id)).toBe(true);
    held.release();
    await scene.ended(ofB.id);
    // What was done is part of the report, so that the report comes after the container's end.
    await vi.waitFor(() =>
      expect(
        scene
          .agent()
          .verdicts()
          .filter(({ containerId }) => containerId === ofB.id)
          .at(-1),
      ).toMatchObject({ verdict: 'denied', reason: 'registryRefused' }),
    );
  });

  it('stops what was started while the agent was away, for nobody ever granted it', async () => {
    const { b } = scene.tenants;
    await scene.agent().stop();
    const ofB = await scene.run(ask(b));
    held.hold();
    await scene.startAgent('--mode', 'enforce', '--pull-timeout', '1s');
    await scene.ended(ofB.id);
    expect(await scene.agent().verdictOf(ofB.id)).toMatchObject({ verdict: 'unverifiable' });
    held.release();
  });

  it('lets a new container run where that is asked for, until the registry answers', async () => {
    const { b } = scene.tenants;
    await scene.agent().stop();
    held.hold();
    await scene.startAgent('--mode', 'enforce', '--pull-timeout', '1s', '--on-unverifiable', 'allow');
    const ofB = await scene.run(ask(b));
    expect(await scene.agent().verdictOf(ofB.id)).toMatchObject({
      reason: expect.stringMatching(/^(registryUnavailable|verificationInProgress)$/),
    });
    expect(await scene.isRunning(ofB.id)).toBe(true);
    held.release();
    await scene.ended(ofB.id);
  });
});
