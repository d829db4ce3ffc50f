import type { Config } from '../../config/resolve.ts';
import { describeSource } from '../../credentials/grant.ts';
import type { Probe } from '../../credentials/providers/probe.ts';
import {
  CommandError,
  ConfigError,
  ImageNameError,
  PodSourceError,
  type ProviderError,
} from '../../errors.ts';
import { parseImageName } from '../../image/reference.ts';
import { NO_SERVICE_ACCOUNTS } from '../../pods/service-account-source.ts';
import { openNodeCredentials } from '../../wiring/node-credentials.ts';
import { openPodSource } from '../../wiring/open-pod-source.ts';
import { formatAge } from '../age.ts';
import { type Finding, failure, ok, warning } from './finding.ts';

export type ProbeConfig = Parameters<typeof openNodeCredentials>[0] &
  Pick<Config, 'podsDirectory' | 'kubeconfig' | 'nodeName'>;

export type ProbeWanted = {
  readonly image: string;
  /** NAMESPACE/NAME; undefined: as for a pod without a service account. */
  readonly pod: string | undefined;
};

/** Runs the plugins that match an image, and says what came of it; nothing of what they answered is shown. */
export async function probePlugins(config: ProbeConfig, { image, pod }: ProbeWanted): Promise<Finding[]> {
  try {
    const { repository } = parseImageName(image);
    const probes =
      pod === undefined ? await forNode(config, repository) : await forPod(config, repository, pod);
    if (probes.length > 0) return probes.map((one) => findingOf(one, repository));
    return [warning('probe', `no provider matches ${repository}`, 'see matchImages in the configuration')];
  } catch (error) {
    if (error instanceof ImageNameError) return [failure('probe', error.message, 'name an image')];
    const isOfPod =
      error instanceof ConfigError || error instanceof PodSourceError || error instanceof CommandError;
    if (!isOfPod) throw error;
    return [failure('probe', error.message, 'see whether --kubeconfig, --node-name and --pod are right')];
  }
}

async function forNode(config: ProbeConfig, repository: string): Promise<readonly Probe[]> {
  const node = openNodeCredentials(config, NO_SERVICE_ACCOUNTS, () => undefined);
  try {
    return await node.probe(repository, undefined);
  } finally {
    node.close();
  }
}

async function forPod(config: ProbeConfig, repository: string, wanted: string): Promise<readonly Probe[]> {
  const [namespace = '', name = '', ...more] = wanted.split('/');
  if (namespace === '' || name === '' || more.length > 0) {
    throw new CommandError('usage', `--pod is NAMESPACE/NAME, not ${wanted}`);
  }
  const source = openPodSource(config, { onProblem: () => undefined });
  const node = openNodeCredentials(config, source.serviceAccounts, () => undefined);
  try {
    await source.pods.start();
    const pod = await source.pods.findPod(namespace, name);
    if (pod === undefined) throw new CommandError('notFound', `there is no pod ${wanted} on this node`);
    return await node.probe(repository, pod);
  } finally {
    node.close();
    await source.close();
  }
}

function findingOf(probe: Probe, repository: string): Finding {
  const check = `probe ${probe.provider}`;
  switch (probe.outcome) {
    case 'answered': {
      const { credentials, source, goodForMs, tookMs } = probe;
      const kept = goodForMs === 0 ? 'not kept' : `kept for ${formatAge(goodForMs)}`;
      const detail =
        `${countOf(credentials)} for ${repository}, to be used ${describeSource(source)}; ` +
        `${kept}; answered in ${Math.round(tookMs)} ms`;
      return credentials > 0
        ? ok(check, detail)
        : warning(check, detail, 'the plugin runs, but has nothing for this image');
    }
    case 'passedOver':
      return probe.why === 'noServiceAccount'
        ? warning(check, 'not run: it needs a service account', 'name a pod that has one with --pod')
        : warning(check, 'not run: the service account lacks an annotation that it requires', 'annotate it');
    case 'failed':
      return failure(check, `${probe.error.reason}: ${probe.error.message}`, adviceOn(probe.error.reason));
  }
}

function countOf(credentials: number): string {
  return credentials === 1 ? '1 credential' : `${credentials} credentials`;
}

function adviceOn(reason: ProviderError['reason']): string {
  switch (reason) {
    case 'timedOut':
      return "it cannot reach what it asks: it needs the node's network as a rule (hostNetwork)";
    case 'audienceForbidden':
    case 'tokenForbidden':
      return 'apply this rule';
    default:
      return 'docs/credentials.md says what to do about each reason';
  }
}
