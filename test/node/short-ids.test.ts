import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ContainerNotStarted } from '../../scripts/lab/kubelet.ts';
import { pushImage } from '../../scripts/lab/push.ts';
import { podOf, type Wanted, writeManifests } from '../../scripts/story/tenants.ts';
import { offers, openScene, type Scene } from './scene.ts';

/**
 * An image may be named by the beginning of its id, whatever repository it belongs to. Whoever guesses ids
 * learns nothing from the agent: neither by its words nor by the time it takes.
 */

const PREFIX_LENGTH = 12;
const TRIES = 5;

/** Puts a private image and one of B's own on the node. */
async function withImages(scene: Scene) {
  const { htpasswd, anonymous } = scene.node.registries;
  await pushImage(htpasswd, 'team-a/app', '1', { salt: 'named by its id' });
  await pushImage(anonymous, 'open/app', '1', { salt: 'of everybody' });
  const secret = await scene.node.kubelet.pullImage(`${htpasswd.host}/team-a/app:1`, scene.tenants.a.login);
  const own = await scene.node.kubelet.pullImage(`${anonymous.host}/open/app:1`);
  const right = secret.replace('sha256:', '').slice(0, PREFIX_LENGTH);
  const last = right.endsWith('0') ? '1' : '0';
  return { own, right, wrong: `${right.slice(0, -1)}${last}` };
}

const wanted = (scene: Scene, id: string, form: 'bare' | 'sha256:'): Wanted => ({
  tenant: scene.tenants.b,
  image: form === 'bare' ? id : `sha256:${id}`,
  imagePullPolicy: 'Never',
  registry: scene.node.registries.htpasswd,
  name: `guess-${id}-${form.replace(':', '')}`,
});

const veto = offers.find(({ containerd }) => containerd === '2');

describe.skipIf(veto?.available !== true)('who guesses ids where the veto is', { timeout: 120_000 }, () => {
  let scene: Scene;

  beforeAll(async () => {
    scene = await openScene('2', true);
    await scene.startAgent('--mode', 'enforce', '--fuse-count', '1000');
    await vi.waitFor(() => expect(scene.agent().log()).toContain('the runtime asks'), 10_000);
  }, 180_000);

  afterAll(async () => scene.stop(), 60_000);

  it.each(['sha256:', 'bare'] as const)(
    'hears the same of a right and of a wrong beginning, and after about as long (%s)',
    async (form) => {
      const { kubelet } = scene.node;
      const { own, right, wrong } = await withImages(scene);
      /** Kubelet has looked: what is right it names by its whole id, and of what is wrong it would get no further. */
      const guess = async (id: string, imageRef: string) => {
        const asked = wanted(scene, id, form);
        const pod = podOf(asked);
        await writeManifests(scene.podsDirectory, asked, pod);
        const sandbox = await kubelet.runSandbox(pod);
        const [container] = pod.containers;
        if (container === undefined) throw new Error('the pod has no container');
        const began = performance.now();
        const refusal = await kubelet.createContainer(sandbox, pod, container, imageRef).then(
          () => 'created',
          (error: unknown) => String(error),
        );
        const ms = performance.now() - began;
        await kubelet.removePod(sandbox);
        return { words: refusal.replace(/^.*pullwarden: /s, '').replace(asked.image, 'GUESS'), ms };
      };
      const secret = (await kubelet.imageStatus(right))?.id ?? '';
      const ofRight: number[] = [];
      const ofWrong: number[] = [];
      for (let n = 0; n < TRIES; n += 1) {
        const one = await guess(right, secret);
        const other = await guess(wrong, own);
        expect(one.words).toBe('Container image "GUESS" is not present with pull policy of Never');
        expect(other.words).toBe(one.words);
        ofRight.push(one.ms);
        ofWrong.push(other.ms);
      }
      expect(Math.min(...ofRight)).toBeLessThan(Math.max(...ofWrong));
      expect(Math.min(...ofWrong)).toBeLessThan(Math.max(...ofRight));
    },
  );

  it('hears it of kubelet, by another reason, where there is no such image', async () => {
    const { right, wrong } = await withImages(scene);
    const reasonOf = async (id: string) => {
      const error = await scene.run(wanted(scene, id, 'sha256:')).catch((caught: unknown) => caught);
      if (!(error instanceof ContainerNotStarted)) throw error;
      return error.reason;
    };
    // What SECURITY.md says that kubelet gives away itself.
    expect(await reasonOf(right)).toBe('CreateContainerError');
    expect(await reasonOf(wrong)).toBe('ErrImageNeverPull');
  });
});

const guard = offers.find(({ containerd }) => containerd === '1.6');

describe.skipIf(guard?.available !== true)(
  'who guesses ids where only the guard is',
  { timeout: 120_000 },
  () => {
    let scene: Scene;

    beforeAll(async () => {
      scene = await openScene('1.6');
      await scene.startAgent('--mode', 'enforce');
    }, 180_000);

    afterAll(async () => scene.stop(), 60_000);

    it('has its container stopped, and is told by no more than that it was', async () => {
      const { right } = await withImages(scene);
      for (const form of ['sha256:', 'bare'] as const) {
        const { id } = await scene.run(wanted(scene, right, form));
        expect(await scene.agent().verdictOf(id)).toMatchObject({ reason: 'neverWithoutRecord' });
        await scene.ended(id);
      }
    });
  },
);
