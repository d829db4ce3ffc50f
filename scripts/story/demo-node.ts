import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { LabNode } from '../lab/node.ts';
import { type AgentProcess, startAgent } from './agent-process.ts';
import type { Stage } from './stage.ts';

/** A node of the demo, and where its agent keeps and finds things. */
export type DemoNode = {
  readonly node: LabNode;
  readonly stateDir: string;
  readonly podsDirectory: string;
};

export async function demoNode(node: LabNode): Promise<DemoNode> {
  const podsDirectory = join(node.root, 'agent-pods');
  await mkdir(podsDirectory);
  return { node, stateDir: join(node.root, 'agent-state'), podsDirectory };
}

/** Starts the agent in enforce mode, as the runtime of this node wants to be asked; waits until it is ready. */
export async function startDemoAgent(
  { node, stateDir, podsDirectory }: DemoNode,
  stage: Stage,
  flags: readonly string[],
): Promise<AgentProcess> {
  const agent = stage.agent(
    startAgent([
      ...['--runtime-endpoint', node.endpoint, '--state-dir', stateDir, '--pods-directory', podsDirectory],
      // Where this node's registries are: over plain HTTP, on loopback.
      ...['--registry-config-dir', join(node.root, 'certs.d')],
      // Never the NRI socket of the machine.
      ...['--nri-socket', node.nriSocket ?? join(node.root, 'no-nri.sock')],
      ...['--mode', 'enforce', '--existing-containers-delay', '0s', ...flags],
    ]),
  );
  await agent.ready();
  return agent;
}
