import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Attack, attacks } from '../../scripts/lab/claimed-image.ts';
import { ContainerNotStarted } from '../../scripts/lab/kubelet.ts';
import { type LyingRegistry, startLyingRegistry } from '../../scripts/lab/lying-registry.ts';
import type { Wanted } from '../../scripts/story/tenants.ts';
import { nameRegistry } from './named-registry.ts';
import { offers, openScene, type Scene } from './scene.ts';
import {
  buildSlowImage,
  pushSlowImage,
  type SlowFront,
  type SlowImage,
  startSlowFront,
} from './slow-pull.ts';

const VICTIM = 'victim.test';
const ATTACKER = 'attacker.test';

/** Those that work on a pull that has its lowest layer only: the others need the config's layers as well. */
const earlyAttacks: readonly Attack[] = attacks.filter((attack) =>
  ['diffIds', 'diffIdsBelowTool', 'layerDigest'].includes(attack),
);

/**
 * The victim's pull has fetched and unpacked the layer with the program, and waits for the next one. Its
 * image is not listed; the attacker's, which names that layer, is the first that is.
 */
for (const { containerd, available, reason } of offers) {
  const hasVeto = containerd !== '1.6';
  const title = `a pull under way, on containerd ${containerd}${available ? '' : ` (cannot be had here: ${reason})`}`;
  describe.skipIf(!available)(title, { timeout: 120_000 }, () => {
    let scene: Scene;
    let front: SlowFront;
    let liar: LyingRegistry;
    let victim: SlowImage;
    let pulling: Promise<string>;

    const victimsImage = `${VICTIM}/team-a/slow:1`;
    const attempt = async (attack: Attack): Promise<string> => {
      const { repository, digest } = await liar.claim(attack, victim);
      const wanted: Omit<Wanted, 'name'> = {
        tenant: scene.tenants.c,
        image: `${ATTACKER}/${repository}@${digest}`,
        imagePullPolicy: 'IfNotPresent',
        registry: { ...scene.node.registries.htpasswd, host: ATTACKER },
      };
      try {
        const { id } = await scene.run(wanted);
        if (!hasVeto) await scene.ended(id);
        return hasVeto ? 'runs' : 'stopped';
      } catch (error) {
        if (!(error instanceof ContainerNotStarted)) throw error;
        return error.message;
      }
    };

    beforeAll(async () => {
      scene = await openScene(containerd, hasVeto);
      const { htpasswd } = scene.node.registries;
      front = await startSlowFront(htpasswd.host);
      liar = await startLyingRegistry();
      await nameRegistry(scene.node, VICTIM, front.host);
      await nameRegistry(scene.node, ATTACKER, liar.host);
      victim = await buildSlowImage('under way');
      await pushSlowImage(htpasswd, 'team-a/slow', victim);
      await scene.startAgent('--mode', 'enforce', '--existing-images', 'verify', '--pull-timeout', '5s');
      front.hold(victim.upper.digest);
      pulling = scene.node.kubelet.pullImage(victimsImage, scene.tenants.a.login);
      await vi.waitFor(() => expect(front.waiting()).toBeGreaterThan(0), 20_000);
    }, 180_000);

    afterAll(async () => {
      await liar?.close();
      await front?.close();
      await scene?.stop();
    }, 60_000);

    it.each(earlyAttacks)('%s: whoever is listed first has brought nothing of it', async (attack) => {
      await vi.waitFor(
        async () => expect(await attempt(attack)).toMatch(hasVeto ? /bytesNotShown/ : /^stopped$/),
        { timeout: 40_000, interval: 300 },
      );
      expect(await scene.node.kubelet.imageStatus(victimsImage)).toBeUndefined();
      expect(
        scene
          .agent()
          .verdicts()
          .map(({ verdict }) => verdict),
      ).not.toContain('allowed');
    });

    it('the victim’s own pull ends and its container runs, and nothing is fetched a second time', async () => {
      const { htpasswd } = scene.node.registries;
      const mark = await htpasswd.mark();
      front.release();
      await pulling;
      const wanted = {
        tenant: scene.tenants.a,
        image: victimsImage,
        imagePullPolicy: 'IfNotPresent',
        registry: { ...htpasswd, host: VICTIM },
      } as const;
      const { id } = await vi.waitFor(() => scene.run(wanted), { timeout: 20_000, interval: 300 });
      expect(await scene.isRunning(id)).toBe(true);
      const fetched = (await htpasswd.requests(mark))
        .filter(({ userAgent, path }) => userAgent === 'pullwarden' && path.includes('/blobs/'))
        .map(({ path }) => path.split('/').at(-1));
      expect(fetched).toEqual([]);
    });
  });
}
