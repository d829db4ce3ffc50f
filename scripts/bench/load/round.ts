import { CriError } from '../../lab/cri.ts';
import type { Kubelet } from '../../lab/kubelet.ts';
import type { BoundPod, SharedNode } from '../abuse/shared-node.ts';
import { createAtLast } from '../abuse/trying.ts';
import type { Mix } from './mix.ts';
import { followVerdicts, type Verdicts } from './verdicts.ts';

/** How many containers of each kind. */
export type Amounts = { readonly known: number; readonly unknown: number; readonly refused: number };

/** Of each 20 containers one is unknown and one is refused. */
export function amountsOf(containers: number): Amounts {
  const few = Math.max(1, Math.round(containers / 20));
  return { known: Math.max(1, containers - 2 * few), unknown: few, refused: few };
}

/** CreateContainer over CRI, in ms, until it was created: with further tries where there was no verdict yet. */
export type VetoRound = {
  readonly known: readonly number[];
  readonly unknown: readonly number[];
  readonly refused: readonly number[];
};

/** All in ms. */
export type GuardRound = {
  /** From the container's creation, as the runtime has it, until the guard has seen it. */
  readonly lag: readonly number[];
  /** From then to the verdict. */
  readonly known: readonly number[];
  readonly unknown: readonly number[];
  readonly refused: readonly number[];
  /** How long a container ran that is denied: from its start to its end, as the runtime has them. */
  readonly toStop: readonly number[];
};

/** Creates and removes with the veto, each pod by itself, as fast as it goes. */
export async function runVetoRound(node: SharedNode, mix: Mix, amounts: Amounts): Promise<VetoRound> {
  const { kubelet } = node.lab;
  const known: number[] = [];
  const unknown: number[] = [];
  const refused: number[] = [];
  const fresh = await mix.unknown(amounts.unknown);

  async function createAndRemove(pod: BoundPod, count: number): Promise<void> {
    for (let n = 0; n < count; n += 1) {
      const { id, ms } = await createAtLast(pod, n % 8);
      known.push(ms);
      await kubelet.removeContainer(id);
    }
  }

  async function beRefused(count: number): Promise<void> {
    for (let n = 0; n < count; n += 1) {
      const began = performance.now();
      const created = await mix.refused.create(n % 8).catch((error: unknown) => {
        if (!(error instanceof CriError)) throw error;
      });
      if (created !== undefined) throw new Error('a container was created with a wrong password');
      refused.push(performance.now() - began);
    }
  }

  async function createUnknown(): Promise<void> {
    for (let n = 0; n < amounts.unknown; n += 1) unknown.push((await createAtLast(fresh, n)).ms);
  }

  await Promise.all([
    ...shared(amounts.known, mix.known).map(([pod, count]) => createAndRemove(pod, count)),
    beRefused(amounts.refused),
    createUnknown(),
  ]);
  await fresh.remove();
  return { known, unknown, refused };
}

/** The same without a veto; each container is removed when its verdict is there, or it was stopped. */
export async function runGuardRound(node: SharedNode, mix: Mix, amounts: Amounts): Promise<GuardRound> {
  const { kubelet } = node.lab;
  const verdicts = followVerdicts(node.agent());
  const round = { lag: [], known: [], unknown: [], refused: [], toStop: [] } as {
    [Key in keyof GuardRound]: number[];
  };
  const fresh = await mix.unknown(amounts.unknown);

  async function judgeAll(pod: BoundPod, count: number, into: number[], containers: number): Promise<void> {
    for (let done = 0; done < count; done += containers) {
      const ids: string[] = [];
      for (let n = 0; n < Math.min(containers, count - done); n += 1) ids.push(await pod.create(n));
      for (const id of ids) {
        const { lag, took } = await timesOf(kubelet, verdicts, id);
        round.lag.push(lag);
        into.push(took);
        await kubelet.removeContainer(id);
      }
    }
  }

  async function stopAll(): Promise<void> {
    for (let n = 0; n < amounts.refused; n += 1) {
      const id = await mix.refused.create(n % 8);
      await kubelet.startContainer(id);
      const { lag, took } = await timesOf(kubelet, verdicts, id);
      round.lag.push(lag);
      round.refused.push(took);
      round.toStop.push(await verdicts.endOf(kubelet, id));
      await kubelet.removeContainer(id);
    }
  }

  await Promise.all([
    ...shared(amounts.known, mix.known).map(([pod, count]) => judgeAll(pod, count, round.known, 8)),
    judgeAll(fresh, amounts.unknown, round.unknown, amounts.unknown),
    stopAll(),
  ]);
  await fresh.remove();
  return round;
}

async function timesOf(kubelet: Kubelet, verdicts: Verdicts, id: string) {
  const { time, durationMs } = await verdicts.of(id);
  const { createdAt } = await kubelet.containerStatus(id);
  return { lag: Date.parse(time) - durationMs - Number(createdAt) / 1e6, took: durationMs };
}

function shared(count: number, pods: readonly BoundPod[]): [BoundPod, number][] {
  return pods.map((pod, n) => [pod, Math.floor((count + n) / pods.length)]);
}
