import { join } from 'node:path';
import type { AgentStart, SharedNode } from '../abuse/shared-node.ts';
import { type ProcessUse, useOf } from '../process-use.ts';
import { type Quantiles, quantilesOf } from '../statistics.ts';
import { startVetoStopwatch } from '../veto-stopwatch.ts';
import type { Mix } from './mix.ts';
import { amountsOf, type GuardRound, runGuardRound, runVetoRound, type VetoRound } from './round.ts';

export type LoadSize = {
  /** Created and removed in each round. */
  readonly containers: number;
  readonly rounds: number;
};

/** What the agent's process has used at the end of a round. */
export type RoundUse = Pick<ProcessUse, 'residentMiB' | 'anonymousMiB' | 'openFiles'>;

type Paced = {
  readonly verdictsPerSecond: number;
  /** Of the agent's process, all its threads. */
  readonly cpuMsPerVerdict: number;
  readonly uses: readonly RoundUse[];
};

/** CreateContainer over CRI in ms, and the veto's own answers in µs. */
export type VetoFigures = Paced & Record<keyof VetoRound | 'answerUs', Quantiles>;

/** In ms; what is meant by each stands with `GuardRound`. */
export type GuardFigures = Paced & Record<keyof GuardRound, Quantiles>;

/** Parts of a phase: one agent, one set of pods. */
export type Phase = {
  readonly node: SharedNode;
  readonly bindMix: () => Promise<Mix>;
  readonly size: LoadSize;
  readonly start?: AgentStart;
  readonly progress: (line: string) => void;
};

/** So that what is known is known, and the code is warm. */
const WARMING = { known: 12, unknown: 0, refused: 1 };

export async function measureVeto(phase: Phase): Promise<VetoFigures> {
  const { node, start = {} } = phase;
  const { nriSocket = '', root } = node.lab;
  const stopwatch = await startVetoStopwatch(nriSocket, join(root, 'stopwatch.sock'));
  try {
    await node.freshAgent({
      ...start,
      flags: [...(start.flags ?? []), '--nri-socket', stopwatch.socketPath],
    });
    const mix = await phase.bindMix();
    await runVetoRound(node, mix, WARMING);
    stopwatch.take();
    const rounds: VetoRound[] = [];
    const paced = await atFullPace(phase, async (amounts) => {
      rounds.push(await runVetoRound(node, mix, amounts));
    });
    const answerUs = quantilesOf(stopwatch.take());
    await mix.remove();
    await node.agent().stop();
    const of = (kind: keyof VetoRound): Quantiles => quantilesOf(rounds.flatMap((round) => round[kind]));
    return { ...paced, known: of('known'), unknown: of('unknown'), refused: of('refused'), answerUs };
  } finally {
    await stopwatch.close();
  }
}

export async function measureGuard(phase: Phase): Promise<GuardFigures> {
  const { node, start = {} } = phase;
  await node.freshAgent({ ...start, flags: [...(start.flags ?? []), '--enforcement', 'stop'] });
  const mix = await phase.bindMix();
  await runGuardRound(node, mix, WARMING);
  const rounds: GuardRound[] = [];
  const paced = await atFullPace(phase, async (amounts) => {
    rounds.push(await runGuardRound(node, mix, amounts));
  });
  await mix.remove();
  await node.agent().stop();
  const of = (kind: keyof GuardRound): Quantiles => quantilesOf(rounds.flatMap((round) => round[kind]));
  const [lag, toStop] = [of('lag'), of('toStop')];
  return { ...paced, lag, known: of('known'), unknown: of('unknown'), refused: of('refused'), toStop };
}

async function atFullPace(
  { node, size, progress }: Phase,
  run: (amounts: ReturnType<typeof amountsOf>) => Promise<void>,
): Promise<Paced> {
  const { pid } = node.agent();
  const amounts = amountsOf(size.containers);
  const verdicts = size.rounds * (amounts.known + amounts.unknown + amounts.refused);
  const uses: RoundUse[] = [];
  const before = useOf(pid).cpuSeconds;
  const began = performance.now();
  for (let round = 1; round <= size.rounds; round += 1) {
    await run(amounts);
    const { residentMiB, anonymousMiB, openFiles } = useOf(pid);
    uses.push({ residentMiB, anonymousMiB, openFiles });
    progress(`round ${round}: ${residentMiB.toFixed(1)} MiB, ${openFiles} open files`);
  }
  return {
    verdictsPerSecond: (verdicts * 1_000) / (performance.now() - began),
    cpuMsPerVerdict: ((useOf(pid).cpuSeconds - before) * 1_000) / verdicts,
    uses,
  };
}
