import { z } from 'zod';
import { CommandError } from '../../errors.ts';
import { printable } from '../../printable.ts';
import type { Print } from '../output.ts';
import { type Cluster, listAgents } from './agents.ts';
import { createProcessExec } from './exec/by-process.ts';
import { kubectlProblem, printedObject } from './kubectl.ts';

const MAX_LINE = 100_000;

const podOnNode = z.object({
  metadata: z.object({ namespace: z.string() }),
  spec: z.object({ nodeName: z.string().optional() }),
});

/**
 * `kubectl pullwarden check`: asks the agent of the pod's node what would happen to the pod. Prints what that
 * agent prints, and returns its exit code: 3 denied, 4 unknown.
 *
 * @throws CommandError
 */
export async function runClusterCheck(
  cluster: Cluster,
  subject: {
    readonly pod: string;
    readonly namespace: string | undefined;
    readonly passed: readonly string[];
  },
  print: Print,
): Promise<number> {
  const { kubectl, timeoutMs } = cluster;
  const pod = subject.pod.replace(/^pods?\//, '');
  const target = subject.namespace === undefined ? [] : ['--namespace', subject.namespace];
  const found = await kubectl.run(['get', 'pod', ...target, pod, '--output', 'json']);
  if (found.exitCode !== 0) throw new CommandError('kubectlFailed', kubectlProblem(found, timeoutMs));
  const { metadata, spec } = printedObject(found.stdout, podOnNode);
  if (spec.nodeName === undefined) throw new CommandError('notFound', `pod ${pod} is on no node yet`);
  const agent = (await listAgents(cluster)).find(({ node }) => node === spec.nodeName);
  if (agent === undefined) throw new CommandError('notFound', `there is no agent on node ${spec.nodeName}`);
  const words = ['check', '--namespace', metadata.namespace, pod, ...subject.passed];
  const answer = await createProcessExec(cluster).run(agent.pod, words);
  if (answer.exitCode === undefined || answer.stdout === '') {
    throw new CommandError('kubectlFailed', kubectlProblem(answer, timeoutMs));
  }
  // Whoever has taken over a node must not write on the terminal of the user what he likes.
  print(
    answer.stdout
      .split('\n')
      .map((line) => printable(line, MAX_LINE))
      .join('\n'),
  );
  return answer.exitCode;
}
