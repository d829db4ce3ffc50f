import type { LyingRegistry } from '../lab/lying-registry.ts';
import type { ToldStep } from './screen.ts';
import type { StepResult } from './story.ts';

/** What a step's reason means, for those who read it for the first time. */
const WHY: Readonly<Record<string, string>> = {
  recordMatched: 'On record: this secret was good for this image, so nobody is asked.',
  nodeCredentials:
    "The registry grants it to the node's docker config file: it is every pod's, as with kubelet.",
  repullSucceeded: 'The registry grants it to what this pod has; from now on that is on record.',
  registryRefused: 'The registry does not grant it to what this pod has.',
  neverWithoutRecord: 'With Never nobody may be asked, and there is no record.',
  bytesNotShown: 'A registry counts only for content that it has shown, and this one has no byte of it.',
};

const SHOWN_TOO = "now that two registries claim this content, A's had to show it as well; that";

/** A result in words: how it ended, what the verdict cost and why, and what the tenant reads. */
export function toldStep(result: StepResult): ToldStep {
  const { step, kept, reason, kubeletsRequests, agentsRequests, told } = result;
  const pulled = kubeletsRequests.length > 0 ? [costs("kubelet's pull", kubeletsRequests)] : [];
  return {
    kept,
    title: step.title,
    outcome: outcomeOf(result),
    tone: result.running ? 'good' : 'bad',
    details: [
      ...pulled,
      costs('the verdict', agentsRequests),
      `${reason}: ${whyOf(result)}`,
      ...(told === undefined ? [] : [`${step.tenant.letter} reads: ${tenantsWords(told)}`]),
    ],
  };
}

/** The same for a step whose registry is the attacker's, which keeps its own log. */
export function toldAttack(result: StepResult, seen: ReturnType<LyingRegistry['requests']>): ToldStep {
  const lines = seen.map(({ line }) => line.replace(/ .*\/(manifests|blobs)\/.*$/, (_, what) => ` ${what}`));
  const counted = [...Map.groupBy(lines, (line) => line)].map(
    ([line, same]) => `${same.length} × ${line.replace('manifests', 'manifest').replace('blobs', 'blob')}`,
  );
  const credentials = seen.filter(({ authorization }) => authorization !== undefined).length;
  const told = toldStep(result);
  return {
    ...told,
    details: [
      `F's registry was asked: ${counted.join(', ')}; it saw ${credentials} credentials`,
      ...(result.agentsRequests.length === 0 ? [] : [costs(SHOWN_TOO, result.agentsRequests)]),
      ...told.details.filter((line) => !line.startsWith('the verdict') && !line.startsWith('kubelet')),
    ],
  };
}

function outcomeOf({ running, told, ranForMs }: StepResult): string {
  if (running) return 'runs';
  return told === undefined ? `stopped after ${ranForMs?.toFixed(0) ?? '?'} ms` : 'never starts';
}

function costs(what: string, requests: readonly string[]): string {
  const { length } = requests;
  if (length === 0) return `${what} cost the registry no request`;
  const counted = [...Map.groupBy(requests, (request) => request)].map(([request, same]) =>
    same.length === 1 ? request : `${same.length} × ${request}`,
  );
  return `${what} cost ${length} request${length === 1 ? '' : 's'}: ${counted.join('; ')}`;
}

function whyOf({ step, reason, requestsOfAgent }: StepResult): string {
  const isRepeated = reason === 'registryRefused' && requestsOfAgent === 0;
  if (isRepeated)
    return `The registry has refused it to ${step.tenant.letter} just now, and that counts for a while.`;
  return WHY[reason] ?? '';
}

/** Of kubelet's message what the agent said, or kubelet's own words for a refused Never. */
function tenantsWords(message: string): string {
  return /(pullwarden: .*)$/s.exec(message)?.[1] ?? message;
}
