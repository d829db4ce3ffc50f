import type { LabNode } from '../lab/node.ts';
import type { AgentProcess } from './agent-process.ts';

type Ending = () => Promise<unknown>;

/** Everything that was started, so that it can be ended again, the last first, also in the middle of starting. */
export type Stage = {
  /** Waits for a node that is coming up; when it is to be cleared away meanwhile, it is as soon as it is there. */
  node(starting: Promise<LabNode>): Promise<LabNode>;
  agent(agent: AgentProcess): AgentProcess;
  add(ending: Ending): void;
  /** Ends everything; may be called again, and waits for the same end then. */
  clear(): Promise<void>;
};

export function openStage(): Stage {
  const endings: Ending[] = [];
  let cleared: Promise<void> | undefined;

  const add = (ending: Ending): void => {
    endings.push(ending);
  };
  async function clear(): Promise<void> {
    for (const end of endings.toReversed()) await end();
  }

  return {
    node(starting) {
      // One that failed has cleared itself away.
      add(() =>
        starting.then(
          (node) => node.stop(),
          () => undefined,
        ),
      );
      return starting;
    },
    agent(agent) {
      add(() => agent.kill());
      return agent;
    },
    add,
    clear() {
      cleared ??= clear();
      return cleared;
    },
  };
}
