import { setTimeout as sleep } from 'node:timers/promises';
import { pushImage } from '../../../scripts/lab/push.ts';
import { newest } from '../../node/scene.ts';
import { openClusterScene } from '../scene.ts';
import type { E2eCluster, E2eTenant } from './cluster.ts';

const LETTERS = { owner: 'a', withoutSecret: 'b', wrongPassword: 'c', otherSecret: 'd' } as const;
const EVENT_TIMEOUT_MS = 15_000;

/** The test API server, kubelet's stand-in, a real containerd and a real registry. */
export async function openLabCluster(): Promise<E2eCluster> {
  const scene = await openClusterScene(newest(), { identity: 'node', nri: true });
  const registry = scene.node.registries.htpasswd;
  await pushImage(registry, 'team-a/app', '1', { salt: 'end to end' });
  const image = `${registry.host}/team-a/app:1`;
  await scene.startAgent('--mode', 'enforce', '--fuse-count', '1000');
  return {
    image,
    async start(tenant: E2eTenant, imagePullPolicy) {
      const pod = scene.run({ tenant: scene.tenants[LETTERS[tenant]], image, imagePullPolicy, registry });
      const { uid } = pod.object.metadata;
      return {
        async becomes(state) {
          const wanted = state === 'running' ? 'allowed' : 'denied';
          await scene.verdict(pod, (said) => said.startsWith(wanted));
          await scene.becomes(pod, state === 'running' ? 'running' : 'stopped');
        },
        async event() {
          const deadline = Date.now() + EVENT_TIMEOUT_MS;
          for (;;) {
            const found = scene.api.events().find(({ involvedObject }) => hasUid(involvedObject, uid));
            if (found) {
              return {
                type: String(found.type),
                reason: String(found.reason),
                message: String(found.message),
              };
            }
            if (Date.now() > deadline) throw new Error(`no Event on the pod:\n${scene.agent().log()}`);
            await sleep(50);
          }
        },
        remove: pod.remove,
      };
    },
    stop: scene.stop,
  };
}

function hasUid(object: unknown, uid: string): boolean {
  return typeof object === 'object' && object !== null && 'uid' in object && object.uid === uid;
}
