import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../../config/resolve.ts';
import { ConfigError } from '../../errors.ts';
import { type OpenedPodSource, openPodSource } from '../../wiring/open-pod-source.ts';
import { type Finding, failure, messageOf, ok } from './finding.ts';

const PATIENCE_MS = 3_000;
const POLL_MS = 50;

/** Can pods and secrets be read? */
export async function checkPods(
  config: Pick<Config, 'podsDirectory' | 'kubeconfig' | 'nodeName'>,
): Promise<Finding> {
  const { podsDirectory, kubeconfig, nodeName } = config;
  let source: OpenedPodSource;
  try {
    source = openPodSource(config, { onProblem: () => undefined });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return failure('pods', error.message, 'without pods and their secrets nothing can be judged');
  }
  try {
    await source.pods.start();
    const problem = await lastingProblem(source);
    if (podsDirectory !== undefined) {
      const advice = 'correct these files: their pods count as unmanaged, their secrets as unreadable';
      return problem === undefined
        ? ok('pods', `${podsDirectory} can be read`)
        : failure('pods', problem, advice);
    }
    const identity =
      kubeconfig === undefined ? 'with the ServiceAccount of the pod' : `as ${kubeconfig} says`;
    return problem === undefined
      ? ok('pods', `the API server lists the pods of node ${nodeName}, asked ${identity}`)
      : failure(
          'pods',
          problem,
          `asked ${identity}: see whether --kubeconfig, --node-name and the rights are in order`,
        );
  } catch (error) {
    const advice = `see whether ${podsDirectory === undefined ? '--node-name' : '--pods-directory'} is right`;
    return failure('pods', messageOf(error), advice);
  } finally {
    await source.close();
  }
}

/** A list has just come in and its watch begins a moment later: what is gone by then is no finding. */
async function lastingProblem({ pods }: OpenedPodSource): Promise<string | undefined> {
  for (let waitedMs = 0; pods.problem() !== undefined && waitedMs < PATIENCE_MS; waitedMs += POLL_MS) {
    await sleep(POLL_MS);
  }
  return pods.problem();
}
