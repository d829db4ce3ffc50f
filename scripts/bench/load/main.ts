import { loadavg } from 'node:os';
import { buildAgent, programOfImage } from '../../story/program-of-image.ts';
import { openSharedNode } from '../abuse/shared-node.ts';
import { GROWTH, type GrowthCell, measureGrowth } from './growth.ts';
import { prepareMix } from './mix.ts';
import { type GuardFigures, type LoadSize, measureGuard, measureVeto, type VetoFigures } from './phases.ts';
import { amountsOf } from './round.ts';

export type LoadFigures = LoadSize & {
  readonly veto: VetoFigures;
  readonly guard: GuardFigures;
  readonly growth: readonly GrowthCell[];
  /** Processes that were ready to run, on average over the last minute, at the beginning and at the end. */
  readonly load: readonly [number, number];
};

export const LOAD_SIZE: LoadSize = { containers: 100, rounds: 10 };
/** In each cell of what grows, one round. */
const GROWTH_CONTAINERS = 40;
const PODS = 4;

/**
 * Containers created and removed as fast as a real containerd does it, known, unknown and refused verdicts
 * mixed, first with the veto, then without it, where the guard hears of each by an event. Then the same in
 * short on a node that has more on record and more pods.
 */
export async function benchLoad(size: LoadSize, progress: (line: string) => void): Promise<LoadFigures> {
  buildAgent();
  const loadBefore = loadavg()[0] ?? Number.NaN;
  const node = await openSharedNode(programOfImage());
  try {
    // The agents know nothing of each other, so that what one has asked about is unknown to the next.
    const unknown = Math.max(
      size.rounds * amountsOf(size.containers).unknown,
      amountsOf(GROWTH_CONTAINERS).unknown,
    );
    const bindMix = await prepareMix(node, { pods: PODS, unknown });
    progress(`the node is ready, with ${unknown} images that are unknown`);
    const phase = { node, bindMix, size, progress };
    const veto = await measureVeto(phase);
    progress(`with the veto: ${veto.verdictsPerSecond.toFixed(0)} verdicts a second`);
    const guard = await measureGuard(phase);
    progress(`without: ${guard.verdictsPerSecond.toFixed(0)} verdicts a second`);
    const growth: GrowthCell[] = [];
    const short = { containers: Math.min(size.containers, GROWTH_CONTAINERS), rounds: 1 };
    for (const grown of GROWTH) {
      progress(`${grown.images} images on record, ${grown.pods} pods`);
      growth.push(await measureGrowth({ ...phase, size: short }, grown));
    }
    return { ...size, veto, guard, growth, load: [loadBefore, loadavg()[0] ?? Number.NaN] };
  } finally {
    await node.stop();
  }
}
