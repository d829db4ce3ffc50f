import { setTimeout as sleep } from 'node:timers/promises';
import type { SharedNode } from './shared-node.ts';
import { type Created, createAtLast } from './trying.ts';

/** What a tenant who does nothing wrong gets of the node, with kubelet's further tries. */
export type GoodTimes = { readonly recorded: readonly Created[]; readonly fresh: readonly Created[] };

export type GoodTenant = {
  /**
   * So many pods, one after the other, each with `recorded` containers of a known image and `fresh` ones of
   * new images.
   */
  work(pods: number): Promise<GoodTimes>;
};

const NAMESPACE = 'good';
const RECORDED = 12;
const FRESH = 3;
/** Within a pod, so that one create is over before the next. */
const PAUSE_MS = 20;

/**
 * Puts the tenant's images on the node: enough for so many pods. What comes of it begins to work with an
 * agent that knows nothing yet.
 */
export async function prepareGoodTenant(node: SharedNode, pods: number): Promise<() => Promise<GoodTenant>> {
  const { htpasswd } = node.lab.registries;
  const [known = ''] = await node.present([`${NAMESPACE}/known`]);
  const names = Array.from({ length: pods * FRESH }, (_, n) => `${NAMESPACE}/fresh-${n}`);
  const unknown = await node.present(names);
  const login = { username: 'alice', password: htpasswd.users.alice ?? '' };
  const config = JSON.stringify({ auths: { [htpasswd.host]: login } });

  return async () => {
    let next = 0;
    let secrets = 0;
    const first = `pull-secret-${secrets}`;
    node.putConfig(NAMESPACE, first, config);
    const pod = await node.bind({ namespace: NAMESPACE, images: [known], imagePullSecrets: [first] });
    await createAtLast(pod, 0);
    await pod.remove();
    return {
      async work(count) {
        const recorded: Created[] = [];
        const fresh: Created[] = [];
        for (let done = 0; done < count; done += 1) {
          secrets += 1;
          const secret = `pull-secret-${secrets}`;
          node.putConfig(NAMESPACE, secret, config);
          const mine = unknown.slice(next, next + FRESH);
          next += FRESH;
          const images = [...Array.from({ length: RECORDED }, () => known), ...mine];
          const working = await node.bind({ namespace: NAMESPACE, images, imagePullSecrets: [secret] });
          for (let n = 0; n < images.length; n += 1) {
            (n < RECORDED ? recorded : fresh).push(await createAtLast(working, n));
            await sleep(PAUSE_MS);
          }
          await working.remove();
        }
        return { recorded, fresh };
      },
    };
  };
}
