import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ContainerNotStarted } from '../../scripts/lab/kubelet.ts';
import { pushImage } from '../../scripts/lab/push.ts';
import { newest } from '../node/scene.ts';
import type { KubeObject } from './api-server/objects.ts';
import { type AgentIdentity, type ClusterScene, openClusterScene, type PodWanted } from './scene.ts';

type Cluster = { readonly identity: AgentIdentity; readonly nri: boolean };

const clusters: readonly Cluster[] = [
  { identity: 'node', nri: true },
  { identity: 'serviceAccount', nri: false },
];

describe.each(clusters)(
  'the tenants of a cluster, the agent with the identity $identity, NRI $nri',
  { timeout: 120_000 },
  ({ identity, nri }) => {
    let scene: ClusterScene;
    let image: string;
    let other: string;

    beforeAll(async () => {
      scene = await openClusterScene(newest(), { identity, nri });
      const { htpasswd } = scene.node.registries;
      await pushImage(htpasswd, 'team-a/app', '1', { salt: 'cluster story' });
      await pushImage(htpasswd, 'team-a/data', '1', { salt: 'cluster story, data' });
      image = `${htpasswd.host}/team-a/app:1`;
      other = `${htpasswd.host}/team-a/data:1`;
      await scene.startAgent('--mode', 'enforce', '--fuse-count', '1000');
    }, 180_000);

    afterAll(async () => scene?.stop());

    const wanted = (
      tenant: keyof ClusterScene['tenants'],
      imagePullPolicy: PodWanted['imagePullPolicy'] = 'IfNotPresent',
    ): PodWanted => ({
      tenant: scene.tenants[tenant],
      image,
      imagePullPolicy,
      registry: scene.node.registries.htpasswd,
    });
    /**
     * The sandbox and the container `app` of a pod that kubelet's stand-in does not run; the container may
     * be refused.
     */
    const runBesidesKubelet = async (place: { namespace: string; name: string; uid: string }) => {
      const { kubelet } = scene.node;
      const spec = { name: 'app', image, imagePullPolicy: 'IfNotPresent' } as const;
      try {
        // As kubelet does, while the veto has no verdict yet.
        const pod = { ...place, containers: [spec] };
        const { sandboxId: id, containers } = await kubelet.runPod(
          pod,
          undefined,
          /verification in progress/,
        );
        return { id, containerId: containers[0]?.id };
      } catch (error) {
        if (!(error instanceof ContainerNotStarted)) throw error;
        return { id: error.sandboxId, containerId: undefined };
      }
    };
    const isFinal = (said: string): boolean => !said.startsWith('unverifiable');

    it.each([
      ['A pulls its private image and runs it', 'a', 'IfNotPresent', 'allowed repullSucceeded'],
      ['A runs another', 'a', 'IfNotPresent', 'allowed recordMatched'],
      ['A runs a third one with Never', 'a', 'Never', 'allowed recordMatched'],
      ['B, without a secret, may not', 'b', 'IfNotPresent', 'denied registryRefused'],
      ['B may not with Never either', 'b', 'Never', 'denied neverWithoutRecord'],
      ['C, with a wrong password, may not', 'c', 'IfNotPresent', 'denied registryRefused'],
      ['D, with another good secret, may', 'd', 'IfNotPresent', 'allowed repullSucceeded'],
    ] as const)('%s', async (_, tenant, policy, said) => {
      const pod = scene.run(wanted(tenant, policy));
      expect(await scene.verdict(pod, isFinal)).toBe(said);
      await scene.becomes(pod, said.startsWith('allowed') ? 'running' : 'stopped');
      await pod.remove();
    });

    it('tells the tenant by an Event on the pod, and names nothing of others', async () => {
      const pod = scene.run(wanted('b'));
      await scene.verdict(pod, isFinal);
      const event = await eventOn(scene, pod.object.metadata.uid);
      await pod.remove();
      expect(event).toMatchObject({
        type: 'Warning',
        reason: 'ImageAccessDenied',
        involvedObject: { kind: 'Pod', name: pod.object.metadata.name, fieldPath: 'spec.containers{app}' },
        source: { component: 'pullwarden', host: 'lab' },
      });
      const host = image.slice(0, image.indexOf('/'));
      expect(String(event.message)).toBe(
        `image "${image}": this pod has no imagePullSecret, and ${host} does not grant it without one (registryRefused)`,
      );
    });

    it('judges init containers, and containers that are added to a pod that runs', async () => {
      const { spec } = scene.run(wanted('a')).object;
      const pod = scene.run({
        ...wanted('b'),
        spec: {
          initContainers: [{ name: 'setup', image, imagePullPolicy: 'IfNotPresent' }],
          containers: spec.containers,
        },
      });
      expect(await scene.verdict(pod, isFinal, 'setup')).toBe('denied registryRefused');
      const debugger_ = { name: 'debugger', image, imagePullPolicy: 'Never' } as const;
      const { metadata } = pod.object;
      scene.api.putPod({
        ...pod.object,
        metadata: { ...metadata },
        spec: { ...pod.object.spec, ephemeralContainers: [debugger_] },
      });
      pod.kept.debug(debugger_);
      expect(await scene.verdict(pod, isFinal, 'debugger')).toBe('denied neverWithoutRecord');
      await pod.remove();
    });

    it('judges a pod of the same name by its own secrets: the uid decides', async () => {
      const first = scene.run({ ...wanted('a'), name: 'same' });
      expect(await scene.verdict(first, isFinal)).toMatch(/^allowed/);
      await first.remove();
      const second = scene.run({ ...wanted('a'), name: 'same', spec: { imagePullSecrets: [] } });
      expect(await scene.verdict(second, (said) => said.startsWith('denied'))).toBe('denied registryRefused');
      await second.remove();
    });

    it('judges a static pod by its mirror, whose uid is another', async () => {
      const hash = 'bcfd6d5262f8a9d2cfd3c1cfb4fba896';
      const { htpasswd } = scene.node.registries;
      const pod = scene.run({ ...wanted('b'), name: 'static-web-lab', registry: htpasswd });
      await pod.remove();
      // The mirror is on the API server under a uid of its own; the runtime knows the pod by the hash.
      const metadata = {
        namespace: 'team-b',
        name: 'static-web-lab',
        annotations: { 'kubernetes.io/config.mirror': hash, 'kubernetes.io/config.hash': hash },
      };
      scene.api.putPod({ ...pod.object, metadata: { ...metadata, uid: 'mirror-uid' } });
      const place = { namespace: 'team-b', name: 'static-web-lab', uid: hash };
      const sandbox = await runBesidesKubelet(place);
      expect(await scene.agent().verdictOfPod(place)).toMatchObject({
        verdict: 'denied',
        reason: 'registryRefused',
      });
      await scene.node.kubelet.removePod(sandbox.id);
      scene.api.deletePod('team-b', 'static-web-lab');
    });

    it('judges image volumes like containers', async () => {
      const volume = { name: 'data', image: { reference: other, pullPolicy: 'IfNotPresent' as const } };
      const mounts = (name: string, own: string) => ({
        name,
        image: own,
        imagePullPolicy: 'IfNotPresent' as const,
        volumeMounts: [{ name: 'data', mountPath: '/data' }],
      });
      const publicImage = `${scene.node.registries.anonymous.host}/lab/pause:v1`;
      const granted = scene.run({
        ...wanted('a'),
        spec: { containers: [mounts('app', image)], volumes: [volume] },
      });
      expect(await scene.verdict(granted, isFinal)).toMatch(/^allowed/);
      const refused = scene.run({
        ...wanted('b'),
        spec: { containers: [mounts('app', publicImage)], volumes: [volume] },
      });
      expect(await scene.verdict(refused, isFinal)).toBe('denied registryRefused');
      await scene.becomes(refused, 'stopped');
      await granted.remove();
      await refused.remove();
    });

    it('does not let run a container of an API pod that the API server does not know', async () => {
      const place = { namespace: 'team-b', name: 'nobody', uid: 'nobody' };
      const { id, containerId } = await runBesidesKubelet(place);
      expect(await scene.agent().verdictOfPod(place)).toMatchObject({
        verdict: 'denied',
        reason: 'podUnknown',
      });
      if (containerId !== undefined) {
        const state = async () => (await scene.node.kubelet.containerStatus(containerId)).state;
        await vi.waitFor(async () => expect(await state()).toBe('CONTAINER_EXITED'), { timeout: 10_000 });
      }
      await scene.node.kubelet.removePod(id);
    });

    it('asks for no list of secrets, and for pods only those of its node', () => {
      const asked = scene.api.requests();
      expect(asked.filter(({ resource, verb }) => resource === 'secrets' && verb !== 'get')).toEqual([]);
      expect(scene.api.requestsFor('list', 'pods').length).toBe(1);
    });
  },
);

async function eventOn(scene: ClusterScene, uid: string): Promise<KubeObject> {
  return vi.waitFor(
    () => {
      const found = scene.api.events().find(({ involvedObject }) => uidOf(involvedObject) === uid);
      if (!found) throw new Error('no Event yet');
      return found;
    },
    { timeout: 10_000, interval: 50 },
  );
}

function uidOf(object: unknown): unknown {
  return typeof object === 'object' && object !== null && 'uid' in object ? object.uid : undefined;
}
