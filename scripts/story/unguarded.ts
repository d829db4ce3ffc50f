import { buildImage } from '../lab/image.ts';
import type { LyingRegistry } from '../lab/lying-registry.ts';
import { pushImage } from '../lab/push.ts';
import type { DemoNode } from './demo-node.ts';
import { explainRequests } from './requests.ts';
import type { Screen } from './screen.ts';
import { podOf, tenantsOf, type Wanted, writeManifests } from './tenants.ts';
import { ATTACKER } from './veto-steps.ts';

/** A container that ran before the agent came. */
export type Earlier = { readonly id: string; readonly whose: 'A' | 'B' | 'F' };

const SALT = 'demo';

/** The first act: what happens on a node that nobody guards. Gives what runs at its end. */
export async function tellUnguarded(
  { node, podsDirectory }: DemoNode,
  liar: LyingRegistry,
  screen: Screen,
): Promise<readonly Earlier[]> {
  const { htpasswd } = node.registries;
  const { a, b } = tenantsOf(node);
  await pushImage(htpasswd, 'team-a/app', '1', { salt: SALT });
  const ofA = {
    image: `${htpasswd.host}/team-a/app:1`,
    imagePullPolicy: 'IfNotPresent',
    registry: htpasswd,
  } as const;
  const run = async (wanted: Wanted) => {
    const pod = podOf(wanted);
    // For the agent that comes later.
    await writeManifests(podsDirectory, wanted, pod);
    const before = await htpasswd.mark();
    const { containers } = await node.kubelet.runPod(pod, wanted.tenant.login);
    const requests = explainRequests(await htpasswd.requests(before));
    const asked = requests.length === 0 ? 'nothing' : `${requests.length} times: ${requests.join('; ')}`;
    return { id: containers[0]?.id ?? '', asked: `asked of A's registry: ${asked}` };
  };

  screen.title('1 · Without Pullwarden');
  const owner = await run({ ...ofA, tenant: a, name: 'before-a' });
  screen.step({
    kept: true,
    title: 'A pulls its private image with its secret',
    outcome: 'runs',
    tone: 'good',
    details: [owner.asked],
  });
  const intruder = await run({ ...ofA, tenant: b, name: 'before-b' });
  screen.step({
    kept: true,
    title: 'B, without any secret, starts a container from it',
    outcome: 'runs all the same',
    tone: 'bad',
    details: [intruder.asked, 'The image is on the node, and IfNotPresent asks nobody.'],
  });
  const { repository } = await liar.claim('diffIds', await buildImage(SALT));
  const registry = { ...htpasswd, host: liar.host };
  const image = `${liar.host}/${repository}:1`;
  const attacker = await run({
    image,
    imagePullPolicy: 'IfNotPresent',
    registry,
    tenant: ATTACKER,
    name: 'before-f',
  });
  screen.step({
    kept: true,
    title: 'F, with a registry of its own, claims the same layers',
    outcome: "runs A's program",
    tone: 'bad',
    details: [
      attacker.asked,
      "F's registry serves a config that names A's layer, and not one byte of it: the runtime has the layer already " +
        'and asks for no more than it lacks.',
    ],
  });
  return [
    { id: owner.id, whose: 'A' },
    { id: intruder.id, whose: 'B' },
    { id: attacker.id, whose: 'F' },
  ];
}
