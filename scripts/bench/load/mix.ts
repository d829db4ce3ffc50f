import { randomUUID } from 'node:crypto';
import type { BoundPod, SharedNode } from '../abuse/shared-node.ts';

/** Pods on one node whose sandboxes stand and whose containers are created and removed again and again. */
export type Mix = {
  /** Their image is on record for their secret once each has run. */
  readonly known: readonly BoundPod[];
  /** Its secret has a wrong password: the registry is asked once, then the refusal is remembered. */
  readonly refused: BoundPod;
  /** A pod with so many images that nobody has asked about since the agent's start. */
  unknown(count: number): Promise<BoundPod>;
  remove(): Promise<void>;
};

const NAMESPACE = 'load';
const CONTAINERS = 8;

/**
 * Puts the images on the node: one that is known, and `unknown` others. What comes of it binds the pods anew
 * for each agent.
 */
export async function prepareMix(
  node: SharedNode,
  { pods, unknown }: { readonly pods: number; readonly unknown: number },
): Promise<() => Promise<Mix>> {
  const { htpasswd } = node.lab.registries;
  const config = (password: string): string =>
    JSON.stringify({ auths: { [htpasswd.host]: { username: 'alice', password } } });
  const [known = ''] = await node.present([`${NAMESPACE}/known`]);
  const names = Array.from({ length: unknown }, (_, n) => `${NAMESPACE}/unknown-${n}`);
  const others = await node.present(names);
  node.putConfig(NAMESPACE, 'pull-secret', config(htpasswd.users.alice ?? ''));
  node.putConfig(NAMESPACE, 'wrong-secret', config(`not-${randomUUID()}`));
  const images = Array.from({ length: CONTAINERS }, () => known);

  return async () => {
    let next = 0;
    const bind = (of: readonly string[], secret: string): Promise<BoundPod> =>
      node.bind({ namespace: NAMESPACE, images: of, imagePullSecrets: [secret] });
    const bound: BoundPod[] = [];
    for (let n = 0; n < pods; n += 1) bound.push(await bind(images, 'pull-secret'));
    const refused = await bind(images, 'wrong-secret');
    return {
      known: bound,
      refused,
      async unknown(count) {
        const mine = others.slice(next, next + count);
        if (mine.length < count) throw new RangeError(`only ${mine.length} of ${count} images are left`);
        next += count;
        return bind(mine, 'pull-secret');
      },
      async remove() {
        for (const pod of [...bound, refused]) await pod.remove();
      },
    };
  };
}
