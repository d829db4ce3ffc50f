import PQueue from 'p-queue';
import { z } from 'zod';
import { CommandError } from '../../errors.ts';
import type { Exec, ExecTarget } from './exec/exec.ts';
import { openExec } from './exec/open-exec.ts';
import { isForbidden, kubectlProblem, printedObject } from './kubectl.ts';

/** One agent's pod. */
export type Agent = { readonly pod: string; readonly node: string; readonly phase: string };

/** Where the agents are and how to ask them. */
export type Cluster = ExecTarget & {
  readonly parallel: number;
  /** Called after each answer. */
  readonly onProgress: (progress: Progress) => void;
};

export type Progress = { readonly asked: number; readonly silent: number; readonly total: number };

/** What one agent said, or why it said nothing. */
export type Answer<Value> =
  | { readonly agent: Agent; readonly value: Value; readonly problem?: undefined }
  | { readonly agent: Agent; readonly value?: undefined; readonly problem: string };

const SELECTOR = 'app.kubernetes.io/name=pullwarden';

const podList = z.object({
  items: z.array(
    z.object({
      metadata: z.object({ name: z.string() }),
      spec: z.object({ nodeName: z.string().default('') }),
      status: z.object({ phase: z.string().default('Unknown') }).default({ phase: 'Unknown' }),
    }),
  ),
});

/**
 * The agents of the cluster, by node.
 *
 * @throws CommandError `kubectlFailed`, or `notFound` where there is no agent
 */
export async function listAgents({ kubectl, namespace, timeoutMs }: Cluster): Promise<readonly Agent[]> {
  const args = ['get', 'pods', '--namespace', namespace, '--selector', SELECTOR, '--output', 'json'];
  const result = await kubectl.run(args);
  if (result.exitCode !== 0) throw new CommandError('kubectlFailed', kubectlProblem(result, timeoutMs));
  const { items } = printedObject(result.stdout, podList);
  if (items.length === 0) {
    const where = `no pod with the label ${SELECTOR} in namespace ${namespace}`;
    throw new CommandError('notFound', `${where}; name another with --agent-namespace`);
  }
  return items
    .map(({ metadata, spec, status }) => ({ pod: metadata.name, node: spec.nodeName, phase: status.phase }))
    .sort((a, b) => a.node.localeCompare(b.node) || a.pod.localeCompare(b.pod));
}

/**
 * Runs `pullwarden ARGS` in the agents' pods, several at once, and reads what it prints. One that does not
 * answer, or not in a way that `read` understands, is an answer with a problem; it holds up nobody.
 *
 * @throws CommandError `kubectlFailed` where the user may not run anything in the agents' pods
 */
export async function askAgents<Value>(
  cluster: Cluster,
  agents: readonly Agent[],
  args: readonly string[],
  read: (stdout: string) => Value,
): Promise<readonly Answer<Value>[]> {
  const queue = new PQueue({ concurrency: cluster.parallel });
  const exec = await openExec(cluster);
  let asked = 0;
  let silent = 0;
  try {
    return await queue.addAll(
      agents.map((agent) => async () => {
        const answer = await askAgent(exec, cluster.timeoutMs, agent, args, read);
        asked += 1;
        if (answer.problem !== undefined) silent += 1;
        cluster.onProgress({ asked, silent, total: agents.length });
        return answer;
      }),
    );
  } finally {
    await exec.close();
  }
}

async function askAgent<Value>(
  exec: Exec,
  timeoutMs: number,
  agent: Agent,
  args: readonly string[],
  read: (stdout: string) => Value,
): Promise<Answer<Value>> {
  if (agent.phase !== 'Running') return { agent, problem: `the pod is ${agent.phase}` };
  const result = await exec.run(agent.pod, args);
  // It is the same in all pods of the namespace: said once, instead of for each of them.
  if (isForbidden(result)) throw new CommandError('kubectlFailed', kubectlProblem(result, timeoutMs));
  // Some subcommands print their answer and end with another code than 0: what they print decides.
  if (result.exitCode === undefined || (result.exitCode !== 0 && result.stdout.trim() === '')) {
    return { agent, problem: kubectlProblem(result, timeoutMs) };
  }
  try {
    return { agent, value: read(result.stdout) };
  } catch {
    return { agent, problem: 'its answer cannot be read: is it of another version?' };
  }
}
