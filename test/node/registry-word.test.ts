import { mkdir, writeFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  always,
  bearerChallenge,
  type FaultServer,
  startFaultServer,
} from '../../scripts/lab/fault-server.ts';
import { pushImage } from '../../scripts/lab/push.ts';
import type { Tenant, Wanted } from '../../scripts/story/tenants.ts';
import { type Front, forwardTo, htmlPage, redirectTo, resetting, startFront, storeRefuses } from './front.ts';
import { offers, openScene, type Scene } from './scene.ts';

/** Nobody answers there. */
const NOWHERE = '127.0.0.1:1';

/**
 * Real mirrors, by hosts.toml, and fronts that answer what real registries and what stands before them do. D has a good
 * secret and a container that ran before the agent came; B has none, C a wrong password, and theirs are new.
 */
for (const { containerd, available, reason } of offers) {
  const title = `who speaks for the registry, on containerd ${containerd}${available ? '' : ` (cannot be had here: ${reason})`}`;
  describe.skipIf(!available)(title, { timeout: 120_000 }, () => {
    let scene: Scene;
    let front: Front;
    let mirror: Front;
    let html: FaultServer;
    let store: FaultServer;
    let image: string;
    let rows = 0;

    const of = (tenant: Tenant): Omit<Wanted, 'name'> => ({
      tenant,
      image,
      imagePullPolicy: 'IfNotPresent',
      registry: { ...scene.node.registries.htpasswd, host: front.host },
    });

    async function hosts(mirrorHost?: string): Promise<void> {
      const table = mirrorHost === undefined ? '' : `[host."http://${mirrorHost}"]\n`;
      const folder = join(scene.node.root, 'certs.d', front.host);
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, 'hosts.toml'), `server = "http://${front.host}"\n${table}`);
    }

    /** D's container runs and the image is there; then the agent comes to the node for the first time. */
    async function given(
      registry: RequestListener | undefined,
      mirrorHost?: string,
    ): Promise<{ ofD: string }> {
      rows += 1;
      front.answer(undefined);
      await hosts();
      const repository = `team-a/row-${rows}`;
      await pushImage(scene.node.registries.htpasswd, repository, '1', { salt: `row ${rows}` });
      image = `${front.host}/${repository}:1`;
      await scene.node.kubelet.pullImage(image, scene.tenants.a.login);
      const { id: ofD } = await scene.run(of(scene.tenants.d));
      front.answer(registry);
      await hosts(mirrorHost);
      const fresh = join(scene.node.root, `state-${rows}`);
      await scene.startAgent(
        ...['--mode', 'enforce', '--state-dir', fresh, '--existing-images', 'verify', '--bytes', 'off'],
        ...['--pull-timeout', '10s'],
      );
      return { ofD };
    }

    async function judged(id: string): Promise<string> {
      const { verdict, reason: why } = await scene.agent().verdictOf(id, 60_000);
      return `${verdict} ${why}`;
    }

    async function left(id: string): Promise<void> {
      await scene.agent().stop();
      expect(await scene.isRunning(id)).toBe(true);
    }

    beforeAll(async () => {
      scene = await openScene(containerd);
      const { htpasswd } = scene.node.registries;
      front = await startFront(htpasswd.host);
      mirror = await startFront(htpasswd.host);
      html = await startFaultServer(htmlPage);
      store = await startFaultServer(storeRefuses);
    }, 180_000);

    afterAll(async () => {
      await Promise.all([front, mirror, html, store].map((server) => server.close()));
      await scene.stop();
    }, 60_000);

    describe('the registry has no word: an outage, and what ran before runs on', () => {
      const reset: RequestListener = ({ socket }) => void socket.destroy();
      const cases: Array<[string, () => RequestListener, RequestListener | undefined]> = [
        ['the mirror answers 401, the registry is down', () => reset, always(401, 'UNAUTHORIZED')],
        ['the mirror answers 404, the registry is down', () => reset, always(404, 'MANIFEST_UNKNOWN')],
        [
          'manifests are reset, blobs answer 404',
          () => resetting('/manifests/', always(404, 'BLOB_UNKNOWN')),
          undefined,
        ],
        [
          'manifests are reset, blobs answer 401',
          () => resetting('/manifests/', always(401, 'UNAUTHORIZED')),
          undefined,
        ],
        ['a portal answers 200 with an HTML page', () => htmlPage, undefined],
        [
          'the token endpoint answers 200 with an HTML page',
          () => bearerChallenge(`http://${html.host}/token`),
          undefined,
        ],
        ['the store behind the registry answers 403', () => redirectTo(store.host), undefined],
      ];
      it.each(cases)('%s', async (_what, registry, mirrored) => {
        mirror.answer(mirrored);
        const { ofD } = await given(registry(), mirrored && mirror.host);
        expect(await judged(ofD)).toBe('unverifiable registryUnavailable');
        const ofC = await scene.run(of(scene.tenants.c));
        expect(await judged(ofC.id)).toBe('unverifiable registryUnavailable');
        await scene.ended(ofC.id);
        await left(ofD);
      });
    });

    describe('the mirror has none, the registry has: it denies B and C, and D goes on', () => {
      const cases: Array<[string, () => string, RequestListener | undefined]> = [
        ['the mirror is dead', () => NOWHERE, undefined],
        ['the mirror answers 500', () => mirror.host, always(500, 'UNKNOWN')],
      ];
      it.each(cases)('%s', async (_what, host, answer) => {
        mirror.answer(answer);
        const { ofD } = await given(undefined, host());
        expect(await judged(ofD)).toBe('allowed repullSucceeded');
        for (const tenant of [scene.tenants.b, scene.tenants.c]) {
          const { id } = await scene.run(of(tenant));
          expect(await judged(id)).toBe('denied registryRefused');
          await scene.ended(id);
        }
        await left(ofD);
      });
    });

    it('412 by the registry has a reason of its own, and what runs is left', async () => {
      const { ofD } = await given(always(412, 'DENIED'));
      expect(await judged(ofD)).toBe('unverifiable registryForbidsImage');
      await left(ofD);
    });

    it('a mirror that asks nobody grants it for now, and apart from the registry', async () => {
      const { htpasswd } = scene.node.registries;
      const login = Buffer.from(`alice:${htpasswd.users.alice}`).toString('base64');
      const onward = forwardTo(htpasswd.host);
      mirror.answer((incoming, response) => {
        incoming.headers.authorization = `Basic ${login}`;
        onward(incoming, response);
      });
      await given(undefined, mirror.host);
      const ofB = await scene.run(of(scene.tenants.b));
      expect(await judged(ofB.id)).toBe('allowed grantedByRuntime');
      const ofC = await scene.run(of(scene.tenants.c));
      expect(await judged(ofC.id)).toBe('denied registryRefused');
      await scene.ended(ofC.id);
      await left(ofB.id);
    });
  });
}
