import { setTimeout as sleep } from 'node:timers/promises';
import type { Kubelet } from '../../lab/kubelet.ts';
import type { AgentProcess, VerdictLine } from '../../story/agent-process.ts';

/** The agent's verdicts by container, from now on. */
export type Verdicts = {
  /** The first on this container. @throws Error after 20 s */
  of(id: string): Promise<VerdictLine>;
  /** Waits until the container has ended; ms that it ran. @throws Error after 20 s */
  endOf(kubelet: Kubelet, id: string): Promise<number>;
};

const PATIENCE_MS = 20_000;
const LOOK_MS = 5;

export function followVerdicts(agent: AgentProcess): Verdicts {
  const first = new Map<string, VerdictLine>();
  let read = agent.verdicts().length;

  function readOn(): void {
    for (const line of agent.verdicts().slice(read)) {
      read += 1;
      if (!first.has(line.containerId)) first.set(line.containerId, line);
    }
  }

  return {
    of: (id) =>
      until(`no verdict on ${id}`, async () => {
        readOn();
        return first.get(id);
      }),
    endOf: (kubelet, id) =>
      until(`${id} was not stopped`, async () => {
        const { state, startedAt, finishedAt } = await kubelet.containerStatus(id);
        return state === 'CONTAINER_EXITED' ? Number(finishedAt - startedAt) / 1e6 : undefined;
      }),
  };
}

async function until<Found>(problem: string, look: () => Promise<Found | undefined>): Promise<Found> {
  for (const deadline = performance.now() + PATIENCE_MS; performance.now() < deadline; ) {
    const found = await look();
    if (found !== undefined) return found;
    await sleep(LOOK_MS);
  }
  throw new Error(problem);
}
