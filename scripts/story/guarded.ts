import { setTimeout as sleep } from 'node:timers/promises';
import { buildImage } from '../lab/image.ts';
import type { LyingRegistry } from '../lab/lying-registry.ts';
import type { AgentProcess } from './agent-process.ts';
import { type DemoNode, startDemoAgent } from './demo-node.ts';
import type { Screen } from './screen.ts';
import type { Stage } from './stage.ts';
import { play } from './story.ts';
import { toldAttack, toldStep } from './tell.ts';
import type { Earlier } from './unguarded.ts';
import { ATTACKER, vetoSteps, writeNodeDockerConfig } from './veto-steps.ts';

/** What is to become of what ran before the agent came. */
const EARLIER: Readonly<Record<Earlier['whose'], { verdict: string; reason: string }>> = {
  A: { verdict: 'allowed', reason: 'repullSucceeded' },
  B: { verdict: 'denied', reason: 'registryRefused' },
  F: { verdict: 'denied', reason: 'bytesNotShown' },
};
const STOPPED_WITHIN_MS = 15_000;

/** The second act: the agent comes, and the runtime asks it before it creates a container. Gives what went wrong. */
export async function tellGuarded(
  place: DemoNode,
  liar: LyingRegistry,
  earlier: readonly Earlier[],
  { screen, stage }: { readonly screen: Screen; readonly stage: Stage },
): Promise<{ readonly agent: AgentProcess; readonly steps: number; readonly broken: number }> {
  const { node, podsDirectory } = place;
  screen.title('2 · With Pullwarden, asked by the runtime before it creates a container (NRI)');
  screen.meanwhile('starting the agent');
  const dockerConfig = await writeNodeDockerConfig(node);
  // What is on the node already counts for nobody: without this flag it would be everybody's, as with
  // kubelet.
  const flags = ['--existing-images', 'verify', '--docker-config', dockerConfig];
  const agent = await startDemoAgent(place, stage, flags);
  let broken = 0;

  for (const { id, whose } of earlier) {
    const { verdict, reason } = await agent.verdictOf(id);
    const ended = verdict === 'denied' && (await hasEnded(place, id));
    const kept =
      verdict === EARLIER[whose].verdict && reason === EARLIER[whose].reason && ended === (whose !== 'A');
    if (!kept) broken += 1;
    screen.step({
      kept,
      title: `${whose}'s container of before`,
      outcome: ended ? 'found, and stopped' : 'goes on running',
      tone: whose === 'A' ? 'good' : 'bad',
      details: [`${verdict} (${reason})`],
    });
  }

  const claim = await liar.claim('configDigest', await buildImage('demo'));
  const steps = await vetoSteps(node, liar, `${liar.host}/${claim.repository}:1`);
  for (const step of steps) {
    screen.meanwhile(step.title);
    const before = liar.requests().length;
    const result = await play(step, node, agent, podsDirectory);
    if (!result.kept) broken += 1;
    const isAttack = step.tenant === ATTACKER;
    screen.step(isAttack ? toldAttack(result, liar.requests().slice(before)) : toldStep(result));
  }
  return { agent, steps: earlier.length + steps.length, broken };
}

async function hasEnded({ node }: DemoNode, id: string): Promise<boolean> {
  for (const deadline = Date.now() + STOPPED_WITHIN_MS; Date.now() < deadline; await sleep(50)) {
    if ((await node.kubelet.containerStatus(id)).state === 'CONTAINER_EXITED') return true;
  }
  return false;
}
