import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  ATTACKS,
  type Attack,
  attacks,
  pushClaim,
  SHARED_ATTACKS,
  sharedAttacks,
} from '../../scripts/lab/claimed-image.ts';
import type { BuiltImage } from '../../scripts/lab/image.ts';
import { ContainerNotStarted } from '../../scripts/lab/kubelet.ts';
import { type LyingRegistry, startLyingRegistry, victimImage } from '../../scripts/lab/lying-registry.ts';
import { pushImage } from '../../scripts/lab/push.ts';
import type { Wanted } from '../../scripts/story/tenants.ts';
import { offers, openScene, type Scene } from './scene.ts';

const FLAGS = ['--mode', 'enforce', '--pull-timeout', '10s', '--fuse-count', '100000'];
const SALT = "the victim's file";

/** How the tenant's pod names what his registry claims. */
const WAYS = {
  byDigest: 'IfNotPresent',
  byTag: 'IfNotPresent',
  byTagAlways: 'Always',
} as const;
type Way = keyof typeof WAYS;
const ways: readonly Way[] = ['byDigest', 'byTag', 'byTagAlways'];

for (const { containerd, available, reason } of offers) {
  const hasVeto = containerd !== '1.6';
  const title = `bytes on containerd ${containerd}${available ? '' : ` (cannot be had here: ${reason})`}`;
  describe.skipIf(!available)(title, { timeout: 240_000 }, () => {
    let scene: Scene;
    let victim: BuiltImage;
    let secretImage: string;
    /**
     * Registries that lie: one to see that the attacks work at all, one for each way with the agent there.
     */
    let liars: Record<'unwatched' | Way, LyingRegistry>;

    const claimed = async (liar: LyingRegistry, attack: Attack, way: Way): Promise<Omit<Wanted, 'name'>> => {
      const { repository, digest } = await liar.claim(attack, victim);
      const reference = way === 'byDigest' ? `@${digest}` : ':1';
      const { htpasswd } = scene.node.registries;
      return {
        tenant: scene.tenants.c,
        image: `${liar.host}/${repository}${reference}`,
        imagePullPolicy: WAYS[way],
        registry: { ...htpasswd, host: liar.host },
      };
    };
    /** The registries are asked where the runtime asks them. */
    const startAgent = (...flags: string[]) =>
      scene.startAgent(
        ...FLAGS,
        ...['--existing-images', 'verify'],
        ...['--registry-config-dir', join(scene.node.root, 'certs.d'), ...flags],
      );
    /** Why it does not run in the end; undefined where it does: its only program is in the victim's layer. */
    const refusalOf = async (wanted: Omit<Wanted, 'name'>): Promise<string | undefined> => {
      try {
        const { id } = await scene.runOnceVerified(wanted);
        if (!hasVeto) await scene.ended(id);
        return hasVeto ? undefined : 'stopped';
      } catch (error) {
        if (!(error instanceof ContainerNotStarted) || error.reason !== 'CreateContainerError') throw error;
        return error.message;
      }
    };

    beforeAll(async () => {
      scene = await openScene(containerd, hasVeto);
      victim = await victimImage(SALT);
      const { htpasswd } = scene.node.registries;
      await pushImage(htpasswd, 'team-a/secret', '1', { salt: SALT });
      secretImage = `${htpasswd.host}/team-a/secret:1`;
      liars = {
        unwatched: await startLyingRegistry(),
        byDigest: await startLyingRegistry(),
        byTag: await startLyingRegistry(),
        byTagAlways: await startLyingRegistry(),
      };
      for (const { host } of Object.values(liars)) await scene.node.addRegistry(host);
      await startAgent('--mode', 'audit');
    }, 180_000);

    afterAll(async () => {
      for (const liar of Object.values(liars ?? {})) await liar.close();
      await scene?.stop();
    }, 60_000);

    it("in audit mode, every attack runs the victim's program", async () => {
      const { a } = scene.tenants;
      await scene.run({
        tenant: a,
        image: secretImage,
        imagePullPolicy: 'IfNotPresent',
        registry: scene.node.registries.htpasswd,
      });
      for (const attack of attacks) {
        const { id } = await scene.run(await claimed(liars.unwatched, attack, 'byTag'));
        expect(await scene.isRunning(id), ATTACKS[attack]).toBe(true);
      }
    });

    it('with the agent, none of them does', async () => {
      await scene.agent().stop();
      await startAgent();
      for (const way of ways) {
        for (const attack of attacks) {
          const refusal = await refusalOf(await claimed(liars[way], attack, way));
          expect(refusal, `${attack} ${way}`).toMatch(hasVeto ? /pullwarden: / : /stopped/);
        }
      }
      const wanted = await claimed(liars.byTag, 'diffIds', 'byTag');
      expect(await refusalOf(wanted)).toMatch(hasVeto ? /bytesNotShown/ : /stopped/);
      const reasons = scene
        .agent()
        .verdicts()
        .filter(({ image }) => !image.includes('secret'))
        .map(({ reason: why }) => why);
      expect(reasons).toContain('bytesNotShown');
      const { body } = await scene.agent().get('/metrics');
      expect(Number(/^pullwarden_bytes_not_shown_total (\d+)$/m.exec(body)?.[1])).toBeGreaterThanOrEqual(
        ways.length,
      );
    });

    it('nor does an image that is pushed beside the victim’s, to the registry that has shown all of it', async () => {
      const { htpasswd } = scene.node.registries;
      for (const way of ways) {
        for (const attack of sharedAttacks) {
          const repository = `team-d/${attack.toLowerCase()}-${way.toLowerCase()}`;
          const digest = await pushClaim(htpasswd, repository, '1', attack, victim);
          const wanted = {
            tenant: scene.tenants.d,
            image: `${htpasswd.host}/${repository}${way === 'byDigest' ? `@${digest}` : ':1'}`,
            imagePullPolicy: WAYS[way],
            registry: htpasswd,
          };
          const what = `${SHARED_ATTACKS[attack]}, ${way}`;
          expect(await refusalOf(wanted), what).toMatch(hasVeto ? /bytesNotShown/ : /stopped/);
          await vi.waitFor(() => {
            const found = scene.agent().verdicts();
            const reasons = found.filter((one) => one.image === wanted.image).map((one) => one.reason);
            expect(reasons, what).toContain('bytesNotShown');
          }, 10_000);
        }
      }
    });

    it("the attacker's registry never saw a credential of another tenant", () => {
      const mine = scene.tenants.c.login;
      const own = `Basic ${Buffer.from(`${mine?.username}:${mine?.password}`).toString('base64')}`;
      const seen = Object.values(liars).flatMap((liar) =>
        liar.requests().map(({ authorization }) => authorization),
      );
      expect(seen.length).toBeGreaterThan(0);
      expect(new Set(seen.filter((one) => one !== undefined && one !== own))).toEqual(new Set());
    });

    it('the victim still runs, and nobody was asked to show his bytes again', async () => {
      const { a } = scene.tenants;
      const { htpasswd } = scene.node.registries;
      const { id } = await scene.run({
        tenant: a,
        image: secretImage,
        imagePullPolicy: 'IfNotPresent',
        registry: htpasswd,
      });
      await scene.agent().verdictOf(id);
      expect(await scene.isRunning(id)).toBe(true);
    });
  });
}
