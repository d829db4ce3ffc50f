import type { SharedNode } from '../abuse/shared-node.ts';
import { makeStateDirectory } from '../sample-node.ts';
import { type GuardFigures, measureGuard, measureVeto, type Phase, type VetoFigures } from './phases.ts';

/** What the node has besides the pods that are worked with. */
export type Growth = {
  /** On record, each for four secrets. */
  readonly images: number;
  /** Of the node on the API server. They have no sandbox: making 500 takes longer than all else here. */
  readonly pods: number;
};

export type GrowthCell = Growth & { readonly veto: VetoFigures; readonly guard: GuardFigures };

export const GROWTH: readonly Growth[] = [
  { images: 100, pods: 10 },
  { images: 1_000, pods: 10 },
  { images: 10_000, pods: 10 },
  { images: 1_000, pods: 110 },
  { images: 1_000, pods: 500 },
];

const SECRETS_PER_IMAGE = 4;
const NAMESPACES = 25;

/** One round with the veto and one without, of agents that begin with these records and pods. */
export async function measureGrowth(phase: Phase, { images, pods }: Growth): Promise<GrowthCell> {
  const { node } = phase;
  const announced = Array.from({ length: pods }, (_, n) => announceBystander(node, n));
  const furnish = (stateDir: string): void => makeStateDirectory(stateDir, images, SECRETS_PER_IMAGE);
  const veto = await measureVeto({ ...phase, start: { furnish } });
  const guard = await measureGuard({ ...phase, start: { furnish } });
  for (const { namespace, name } of announced) node.api.deletePod(namespace, name);
  return { images, pods, veto, guard };
}

function announceBystander(node: SharedNode, n: number) {
  return node.announce({
    namespace: `team-${n % NAMESPACES}`,
    images: [`${node.lab.registries.htpasswd.host}/team-${n % NAMESPACES}/app-${n}:1`],
    imagePullSecrets: ['pull-secret'],
  });
}
