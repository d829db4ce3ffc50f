import type { RequestListener } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  always,
  bearerChallenge,
  type FaultServer,
  startFaultServer,
} from '../../scripts/lab/fault-server.ts';
import { type Front, forwardTo, htmlPage, redirectTo, resetting, startFront, storeRefuses } from './front.ts';
import { offers } from './scene.ts';
import { openWordScene, type WordScene } from './word-scene.ts';

/** Nobody answers there. */
const NOWHERE = '127.0.0.1:1';

/**
 * Real mirrors, by hosts.toml, and fronts that answer what real registries and what stands before them do. D
 * has a good secret and a container that ran before the agent came; B has none, C a wrong password, and
 * theirs are new.
 */
for (const { containerd, available, reason } of offers) {
  const title = `who speaks for the registry, on containerd ${containerd}${available ? '' : ` (cannot be had here: ${reason})`}`;
  describe.skipIf(!available)(title, { timeout: 120_000 }, () => {
    let word: WordScene;
    let mirror: Front;
    let html: FaultServer;
    let store: FaultServer;
    const tenants = () => word.scene.tenants;

    beforeAll(async () => {
      word = await openWordScene(containerd);
      mirror = await startFront(word.scene.node.registries.htpasswd.host);
      html = await startFaultServer(htmlPage);
      store = await startFaultServer(storeRefuses);
    }, 180_000);

    afterAll(async () => {
      await Promise.all([mirror, html, store].map((server) => server.close()));
      await word.stop();
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
        const { ofD } = await word.given(registry(), mirrored && mirror.host);
        expect(await word.judged(ofD)).toBe('unverifiable registryUnavailable');
        const ofC = await word.run(tenants().c);
        expect(await word.judged(ofC.id)).toBe('unverifiable registryUnavailable');
        await word.scene.ended(ofC.id);
        await word.left(ofD);
      });
    });

    describe('the mirror has none, the registry has: it denies B and C, and D goes on', () => {
      const cases: Array<[string, () => string, RequestListener | undefined]> = [
        ['the mirror is dead', () => NOWHERE, undefined],
        ['the mirror answers 500', () => mirror.host, always(500, 'UNKNOWN')],
      ];
      it.each(cases)('%s', async (_what, host, answer) => {
        mirror.answer(answer);
        const { ofD } = await word.given(undefined, host());
        expect(await word.judged(ofD)).toBe('allowed repullSucceeded');
        for (const tenant of [tenants().b, tenants().c]) {
          const { id } = await word.run(tenant);
          expect(await word.judged(id)).toBe('denied registryRefused');
          await word.scene.ended(id);
        }
        await word.left(ofD);
      });
    });

    it('412 by the registry has a reason of its own, and what runs is left', async () => {
      const { ofD } = await word.given(always(412, 'DENIED'));
      expect(await word.judged(ofD)).toBe('unverifiable registryForbidsImage');
      await word.left(ofD);
    });

    it('a mirror that asks nobody grants it for now, and apart from the registry', async () => {
      const { htpasswd } = word.scene.node.registries;
      const login = Buffer.from(`alice:${htpasswd.users.alice}`).toString('base64');
      const onward = forwardTo(htpasswd.host);
      mirror.answer((incoming, response) => {
        incoming.headers.authorization = `Basic ${login}`;
        onward(incoming, response);
      });
      await word.given(undefined, mirror.host);
      const ofB = await word.run(tenants().b);
      expect(await word.judged(ofB.id)).toBe('allowed grantedByRuntime');
      const ofC = await word.run(tenants().c);
      expect(await word.judged(ofC.id)).toBe('denied registryRefused');
      await word.scene.ended(ofC.id);
      await word.left(ofB.id);
    });
  });
}
