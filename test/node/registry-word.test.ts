import { mkdtemp, rm } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  always,
  bearerChallenge,
  type FaultServer,
  startFaultServer,
} from '../../scripts/lab/fault-server.ts';
import { makeKeyPair } from '../../scripts/lab/signing.ts';
import {
  breakingOff,
  forwardTo,
  htmlPage,
  otherManifest,
  redirectTo,
  resetting,
  storeRefuses,
} from './front.ts';
import { startHttp2Front } from './http2-front.ts';
import { offers } from './scene.ts';
import { openWordScene, type RegistryOverTls, type Row, type WordScene } from './word-scene.ts';

/** Nobody answers there. */
const NOWHERE = '127.0.0.1:1';

/** What the registry and its mirror, by hosts.toml, answer from when D's container runs. */
type Given = {
  readonly what: string;
  readonly registry?: RequestListener;
  readonly mirror?: RequestListener | typeof NOWHERE;
  readonly tls?: RegistryOverTls;
};

const reset: RequestListener = ({ socket }) => void socket.destroy();

const OUTAGES: readonly string[] = [
  'the mirror answers 401, the registry is down',
  'the mirror answers 404, the registry is down',
  'manifests are reset, blobs answer 404',
  'manifests are reset, blobs answer 401',
  'a portal answers 200 with an HTML page',
  'the token endpoint answers 200 with an HTML page',
  'the store behind the registry answers 403',
  'HTTP/2 streams are reset',
  'other bytes come than the digest says',
];
const MIRROR_HAS_NONE: readonly string[] = ['the mirror is dead', 'the mirror answers 500'];
const POLICY = 'the registry answers 412';
const BREAKS_OFF = 'manifests break off halfway';
const OPEN_MIRROR = 'the mirror asks nobody';
const OPEN_MIRROR_ALONE = 'the mirror asks nobody, the registry is down';

for (const { containerd, available, reason } of offers) {
  const title = `who speaks for the registry, on containerd ${containerd}${available ? '' : ` (cannot be had here: ${reason})`}`;
  describe.skipIf(!available)(title, { timeout: 60_000 }, () => {
    let word: WordScene;
    let folder: string;
    const servers: FaultServer[] = [];
    const rows = new Map<string, Row>();
    const tenants = () => word.scene.tenants;
    const row = (what: string): Row => {
      const found = rows.get(what);
      if (found === undefined) throw new Error(`no such row: ${what}`);
      return found;
    };

    async function serve(listener: RequestListener): Promise<string> {
      const server = await startFaultServer(listener);
      servers.push(server);
      return server.host;
    }

    async function givens(): Promise<readonly Given[]> {
      const { htpasswd } = word.scene.node.registries;
      const htmlHost = await serve(htmlPage);
      const storeHost = await serve(storeRefuses);
      const login = Buffer.from(`alice:${htpasswd.users.alice}`).toString('base64');
      const onward = forwardTo(htpasswd.host);
      const asksNobody: RequestListener = (incoming, response) => {
        incoming.headers.authorization = `Basic ${login}`;
        onward(incoming, response);
      };
      const keyPair = await makeKeyPair(folder, 'http2');
      const answers: Record<string, Omit<Given, 'what'>> = {
        'the mirror answers 401, the registry is down': {
          registry: reset,
          mirror: always(401, 'UNAUTHORIZED'),
        },
        'the mirror answers 404, the registry is down': {
          registry: reset,
          mirror: always(404, 'MANIFEST_UNKNOWN'),
        },
        'manifests are reset, blobs answer 404': {
          registry: resetting('/manifests/', always(404, 'BLOB_UNKNOWN')),
        },
        'manifests are reset, blobs answer 401': {
          registry: resetting('/manifests/', always(401, 'UNAUTHORIZED')),
        },
        'a portal answers 200 with an HTML page': { registry: htmlPage },
        'the token endpoint answers 200 with an HTML page': {
          registry: bearerChallenge(`http://${htmlHost}/token`),
        },
        'the store behind the registry answers 403': { registry: redirectTo(storeHost) },
        'HTTP/2 streams are reset': { registry: reset, tls: { keyPair, start: startHttp2Front } },
        'other bytes come than the digest says': { registry: otherManifest },
        [BREAKS_OFF]: { registry: breakingOff(htpasswd.host) },
        'the mirror is dead': { mirror: NOWHERE },
        'the mirror answers 500': { mirror: always(500, 'UNKNOWN') },
        [POLICY]: { registry: always(412, 'DENIED') },
        [OPEN_MIRROR]: { mirror: asksNobody },
        [OPEN_MIRROR_ALONE]: { registry: reset, mirror: asksNobody },
      };
      return Object.entries(answers).map(([what, given]) => ({ what, ...given }));
    }

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'pullwarden-word-'));
      word = await openWordScene(containerd);
      const all = await givens();
      for (const { what, tls } of all) rows.set(what, await word.row(tls));
      for (const { what, registry, mirror } of all) {
        if (registry) row(what).answers(registry);
        if (mirror) await row(what).mirrorBy(typeof mirror === 'string' ? mirror : await serve(mirror));
      }
      await word.agentComes();
    }, 180_000);

    afterAll(async () => {
      await Promise.all(servers.map((server) => server.close()));
      await word?.stop();
      await rm(folder, { recursive: true });
    }, 60_000);

    it.each(OUTAGES)('%s: an outage, also for who comes new with a wrong password', async (what) => {
      expect(await word.judged(row(what).ofD)).toBe('unverifiable registryUnavailable');
      expect(await word.run(row(what), tenants().c)).toBe('unverifiable registryUnavailable');
    });

    it.each(MIRROR_HAS_NONE)('%s, the registry is up: it denies B and C, and D is granted', async (what) => {
      expect(await word.judged(row(what).ofD)).toBe('allowed repullSucceeded');
      for (const tenant of [tenants().b, tenants().c]) {
        expect(await word.run(row(what), tenant)).toBe('denied registryRefused');
      }
    });

    it(`${POLICY}: a reason of its own`, async () => {
      expect(await word.judged(row(POLICY).ofD)).toBe('unverifiable registryForbidsImage');
    });

    it(`${BREAKS_OFF}: what the registry said to the runtime counts`, async () => {
      expect(await word.judged(row(BREAKS_OFF).ofD)).toBe('allowed repullSucceeded');
      expect(await word.run(row(BREAKS_OFF), tenants().c)).toBe('denied registryRefused');
    });

    it(`${OPEN_MIRROR}: B is granted it for now, apart from the registry, and C is not`, async () => {
      expect(await word.judged(row(OPEN_MIRROR).ofD)).toBe('allowed repullSucceeded');
      expect(await word.run(row(OPEN_MIRROR), tenants().b)).toBe('allowed grantedByRuntime');
      expect(await word.run(row(OPEN_MIRROR), tenants().c)).toBe('denied registryRefused');
    });

    it(`${OPEN_MIRROR_ALONE}: nobody’s credentials count as granted by what came of it`, async () => {
      const down = row(OPEN_MIRROR_ALONE);
      expect(await word.judged(down.ofD)).toBe('allowed grantedByRuntime');
      expect(await word.run(down, tenants().c)).toBe('allowed grantedByRuntime');
      // The registry is back: the wrong password was not written down as a good one.
      down.front.answer(undefined);
      const other = { ...tenants().c, namespace: 'team-c-elsewhere' };
      expect(await word.run(down, other)).toBe('denied registryRefused');
    });

    it('and of what ran before, nothing was stopped', async () => {
      await word.left([...rows.values()]);
    });
  });
}
