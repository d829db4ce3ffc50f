import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { buildImage } from '../../scripts/lab/image.ts';
import { pushImage } from '../../scripts/lab/push.ts';
import type { Registry } from '../../scripts/lab/registry.ts';
import type { Tenant, Wanted } from '../../scripts/story/tenants.ts';
import { nameRegistry } from './named-registry.ts';
import { newest, openScene, type Scene } from './scene.ts';

const ORIGIN = 'origin.test';
const CACHE = 'cache.test';
const SECOND = 'second.test';
const PUBLIC = 'public.test';
const PUBLIC_TOO = 'public-too.test';

/**
 * What honest tenants are made to pay, from the registries' own access logs: requests for blobs by the agent,
 * which each take the whole of one. The names have no port, as on most nodes.
 */
describe('bytes that are fetched twice', { timeout: 120_000 }, () => {
  let scene: Scene;

  beforeAll(async () => {
    scene = await openScene(newest(), true);
    const { htpasswd, anonymous, token } = scene.node.registries;
    // A pull-through cache answers with the very content of its origin, and asks for the same credentials
    // here.
    for (const name of [ORIGIN, CACHE]) await nameRegistry(scene.node, name, htpasswd.host);
    for (const name of [PUBLIC, PUBLIC_TOO]) await nameRegistry(scene.node, name, anonymous.host);
    await nameRegistry(scene.node, SECOND, token.host);
    token.setPassword('alice', htpasswd.users.alice ?? '');
    await scene.startAgent('--mode', 'enforce', '--existing-images', 'verify', '--pull-timeout', '5s');
  }, 180_000);

  afterAll(() => scene?.stop(), 60_000);

  async function runs(tenant: Tenant, image: string, registry: Registry): Promise<void> {
    const [host = ''] = image.split('/');
    const wanted: Omit<Wanted, 'name'> = {
      tenant,
      image,
      imagePullPolicy: 'IfNotPresent',
      registry: { ...registry, host },
    };
    // While bytes stream the veto says that the verification is in progress, and kubelet asks again.
    const { id } = await vi.waitFor(() => scene.run(wanted), { timeout: 30_000, interval: 300 });
    expect((await scene.agent().verdictOf(id)).verdict).toBe('allowed');
  }

  /** Digests of the blobs that the agent has fetched there meanwhile. */
  async function fetchedDuring(registry: Registry, work: () => Promise<void>): Promise<string[]> {
    const mark = await registry.mark();
    await work();
    const requests = await registry.requests(mark);
    return requests
      .filter(({ userAgent, path }) => userAgent === 'pullwarden' && path.includes('/blobs/'))
      .map(({ path }) => /sha256:\w+/.exec(path)?.[0] ?? path);
  }

  it('two tenants, one registry, images of their own on a layer that both have: none', async () => {
    const { htpasswd } = scene.node.registries;
    const { a, d } = scene.tenants;
    await pushImage(htpasswd, 'team-a/shared', '1', { salt: 'of a', layerSalt: 'shared' });
    await pushImage(htpasswd, 'team-d/shared', '1', { salt: 'of d', layerSalt: 'shared' });
    const fetched = await fetchedDuring(htpasswd, async () => {
      await runs(a, `${ORIGIN}/team-a/shared:1`, htpasswd);
      await runs(d, `${ORIGIN}/team-d/shared:1`, htpasswd);
      await runs(d, `${ORIGIN}/team-a/shared:1`, htpasswd);
    });
    expect(fetched).toEqual([]);
  });

  it('a public base image under two hosts that ask nobody, one right after the other: none', async () => {
    const { anonymous } = scene.node.registries;
    const { b } = scene.tenants;
    await pushImage(anonymous, 'library/base', '1', { salt: 'base' });
    await pushImage(anonymous, 'mirrored/base', '1', { salt: 'base' });
    const fetched = await fetchedDuring(anonymous, async () => {
      await runs(b, `${PUBLIC}/library/base:1`, anonymous);
      await runs(b, `${PUBLIC_TOO}/mirrored/base:1`, anonymous);
      await runs(b, `${PUBLIC}/library/base:1`, anonymous);
    });
    expect(fetched).toEqual([]);
  });

  it('the same, of registries with a port, which the runtime’s notes cannot tell apart: none', async () => {
    const { anonymous } = scene.node.registries;
    const { b } = scene.tenants;
    await pushImage(anonymous, 'library/ported', '1', { salt: 'ported' });
    const other = `localhost:${anonymous.host.split(':')[1]}`;
    await nameRegistry(scene.node, other, anonymous.host);
    const fetched = await fetchedDuring(anonymous, async () => {
      await runs(b, `${anonymous.host}/library/ported:1`, anonymous);
      await runs(b, `${other}/library/ported:1`, anonymous);
      await runs(b, `${anonymous.host}/library/ported:1`, anonymous);
    });
    expect(fetched).toEqual([]);
  });

  it('a pull-through cache of the same digest: config and layers, once for the node', async () => {
    const { htpasswd } = scene.node.registries;
    const { a, d } = scene.tenants;
    await pushImage(htpasswd, 'team-a/cached', '1', { salt: 'cached' });
    const { config, layer } = await buildImage('cached');
    expect(await fetchedDuring(htpasswd, () => runs(a, `${ORIGIN}/team-a/cached:1`, htpasswd))).toEqual([]);
    const fetched = await fetchedDuring(htpasswd, async () => {
      await runs(a, `${CACHE}/team-a/cached:1`, htpasswd);
      await runs(d, `${CACHE}/team-a/cached:1`, htpasswd);
      await runs(a, `${ORIGIN}/team-a/cached:1`, htpasswd);
    });
    expect(fetched).toEqual([config.digest, layer.digest]);
  });

  it('a private image that was pushed to a second registry: its bytes, once', async () => {
    const { htpasswd, token } = scene.node.registries;
    const { a } = scene.tenants;
    for (const target of [htpasswd, token]) await pushImage(target, 'team-a/twice', '1', { salt: 'twice' });
    const { config, layer } = await buildImage('twice');
    expect(await fetchedDuring(htpasswd, () => runs(a, `${ORIGIN}/team-a/twice:1`, htpasswd))).toEqual([]);
    const fetched = await fetchedDuring(token, async () => {
      await runs(a, `${SECOND}/team-a/twice:1`, token);
      await runs(a, `${SECOND}/team-a/twice:1`, token);
    });
    expect(fetched).toEqual([config.digest, layer.digest]);
  });
});
