import { randomUUID } from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { pushImage, withdrawImage } from '../../scripts/lab/push.ts';
import { podOf, type Tenant, type Wanted } from '../../scripts/story/tenants.ts';
import { newest, offers, openScene, type Scene } from './scene.ts';

/** A grant is about the content in use, whatever a name meant before or means since. */

describe('content that came under a name by hand, or that its registry has withdrawn,', {
  timeout: 120_000,
}, () => {
  let scene: Scene;

  const verdictOf = async (
    tenant: Tenant,
    image: string,
    policy: Wanted['imagePullPolicy'] = 'IfNotPresent',
  ) => {
    const registry = scene.node.registries.htpasswd;
    const { id } = await scene.run({ tenant, image, imagePullPolicy: policy, registry });
    const { verdict, reason } = await scene.agent().verdictOf(id);
    return `${verdict} ${reason}`;
  };

  beforeAll(async () => {
    scene = await openScene(newest());
    await scene.startAgent('--mode', 'enforce');
  }, 180_000);

  afterAll(async () => scene.stop(), 60_000);

  it('is not granted by what the registry has under that name', async () => {
    const { htpasswd, anonymous } = scene.node.registries;
    const { a, b } = scene.tenants;
    await pushImage(htpasswd, 'team-a/secret', '1', { salt: 'secret' });
    await pushImage(anonymous, 'open/tool', '1', { salt: 'tool' });
    const secret = `${htpasswd.host}/team-a/secret:1`;
    const tool = `${anonymous.host}/open/tool:1`;
    await scene.node.kubelet.pullImage(secret, a.login);
    await scene.node.tagImage(secret, tool);
    expect(await verdictOf(b, tool)).toMatch(/^denied /);
    // And nothing stays on record for anybody.
    expect(await verdictOf(b, tool, 'Never')).toMatch(/^denied /);
    expect(await verdictOf(b, secret, 'Never')).toBe('denied neverWithoutRecord');
    // Once the name means on the node what it means at the registry, it is open to all.
    await scene.node.kubelet.pullImage(tool);
    expect(await verdictOf(b, tool)).toBe('allowed repullSucceeded');
  });

  it('is not granted by its tag that means other content by now', async () => {
    const { htpasswd } = scene.node.registries;
    const { a, d } = scene.tenants;
    const image = `${htpasswd.host}/team-a/moved:1`;
    const { manifestDigest } = await pushImage(htpasswd, 'team-a/moved', '1', { salt: 'moved, first' });
    await scene.node.kubelet.pullImage(image, a.login);
    await withdrawImage(htpasswd, 'team-a/moved', manifestDigest);
    await pushImage(htpasswd, 'team-a/moved', '1', { salt: 'moved, second' });
    for (const tenant of [a, d]) expect(await verdictOf(tenant, image)).toBe('denied registryRefused');
    expect(await verdictOf(a, image, 'Never')).toBe('denied neverWithoutRecord');
  });
});

const withVolumes = offers.find(({ containerd }) => containerd === '2');

describe.skipIf(withVolumes?.available !== true)('an image volume', { timeout: 120_000 }, () => {
  let scene: Scene;

  /** A pod of B with its own container, and a volume of an image that everybody may pull. */
  const writePod = async (image: string, volume: string) => {
    const tenant = scene.tenants.b;
    const registry = scene.node.registries.anonymous;
    const wanted = {
      tenant,
      image,
      registry,
      name: `volume-${randomUUID()}`,
      imagePullPolicy: 'IfNotPresent',
    } as const;
    const pod = podOf(wanted);
    const manifest = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { namespace: pod.namespace, name: pod.name, uid: pod.uid },
      spec: {
        containers: [
          {
            name: 'app',
            image,
            imagePullPolicy: 'IfNotPresent',
            volumeMounts: [{ name: 'data', mountPath: '/data' }],
          },
        ],
        volumes: [{ name: 'data', image: { reference: volume, pullPolicy: 'IfNotPresent' } }],
      },
    };
    const path = join(scene.podsDirectory, `${pod.name}.json`);
    await writeFile(`${path}.new`, JSON.stringify(manifest));
    await rename(`${path}.new`, path);
    return pod;
  };

  beforeAll(async () => {
    scene = await openScene('2', true);
    await scene.startAgent('--mode', 'enforce', '--fuse-count', '1000');
    await vi.waitFor(async () => expect(await scene.agent().log()).toContain('the runtime asks'), 10_000);
  }, 180_000);

  afterAll(async () => scene.stop(), 60_000);

  it('whose tag moves between kubelet`s look and the container`s start does not keep private content', async () => {
    const { htpasswd, anonymous } = scene.node.registries;
    const { kubelet } = scene.node;
    await pushImage(anonymous, 'open/app', '1', { salt: 'app with a volume' });
    await pushImage(htpasswd, 'team-a/data', '1', { salt: 'private data' });
    await pushImage(anonymous, 'open/data', '1', { salt: 'open data' });
    const image = `${anonymous.host}/open/app:1`;
    const volume = `${anonymous.host}/open/data:1`;
    const secret = `${htpasswd.host}/team-a/data:1`;
    const app = await kubelet.pullImage(image);
    await kubelet.pullImage(secret, scene.tenants.a.login);
    await scene.node.tagImage(secret, volume);
    // Kubelet's look: the volume's name means private content.
    const looked = (await kubelet.imageStatus(volume))?.id ?? '';
    // The tag moves on.
    const open = await kubelet.pullImage(volume);
    expect(open).not.toBe(looked);
    const pod = await writePod(image, volume);
    const [container] = pod.containers;
    if (container === undefined) throw new Error('the pod has no container');
    const sandbox = await kubelet.runSandbox(pod);
    const mounting = { ...container, imageVolumes: [{ path: '/data', image: volume, imageRef: looked }] };
    const created = await kubelet
      .createContainer(sandbox, pod, mounting, app)
      .catch((error: unknown) => error);
    // The veto knows names only: it may be the guard that finds out what is really mounted.
    if (typeof created !== 'string') expect(String(created)).toContain('pullwarden: ');
    else {
      await kubelet.startContainer(created).catch(() => undefined);
      await scene.ended(created);
      const verdicts = scene
        .agent()
        .verdicts()
        .filter(({ containerId }) => containerId === created);
      expect(verdicts.at(-1)).toMatchObject({ verdict: 'denied' });
    }
    // What mounts the content that the name means now, runs.
    const rightful = await writePod(image, volume);
    const other = await kubelet.runSandbox(rightful);
    const id = await kubelet.createContainer(
      other,
      rightful,
      { ...container, imageVolumes: [{ path: '/data', image: volume, imageRef: open }] },
      app,
    );
    await kubelet.startContainer(id);
    await scene.agent().verdictOf(id);
    expect(await scene.isRunning(id)).toBe(true);
  });
});
