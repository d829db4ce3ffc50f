import type { NodeCredentialSource } from '../access/pod-credentials.ts';
import { type Unverifiable, unverifiable } from '../access/verdict.ts';
import type { Config } from '../config/resolve.ts';
import {
  createNodeCredentials,
  type NodeCredentials,
  type Problem,
} from '../credentials/node/node-credentials.ts';
import type { Probe } from '../credentials/providers/probe.ts';
import type { PluginRun } from '../credentials/providers/provider-set.ts';
import { ConfigError } from '../errors.ts';
import type { Pod } from '../pods/pod-source.ts';
import type { ServiceAccountSource } from '../pods/service-account-source.ts';

export type OpenedNodeCredentials = {
  readonly source: NodeCredentialSource;
  readonly status: NodeCredentials['status'];
  /** Asks the providers that match the image, for a pod or, without one, for the node itself. */
  readonly probe: (repository: string, pod: Pod | undefined) => Promise<readonly Probe[]>;
  close(): void;
};

type NodeConfig = Pick<
  Config,
  | 'kubeletRootDir'
  | 'dockerConfig'
  | 'imageCredentialProviderConfig'
  | 'imageCredentialProviderBinDir'
  | 'credentialProviderTimeout'
>;

/**
 * What the node itself and the pods' service accounts can pull with, as kubelet has it.
 *
 * @throws ConfigError where only one of the two options of the provider plugins is set
 */
export function openNodeCredentials(
  config: NodeConfig,
  serviceAccounts: ServiceAccountSource,
  onPluginEnded: (run: PluginRun) => void,
): OpenedNodeCredentials {
  const { imageCredentialProviderConfig: configPath, imageCredentialProviderBinDir: binDir } = config;
  if ((configPath === undefined) !== (binDir === undefined)) {
    throw new ConfigError(
      'missingOption',
      'imageCredentialProviderConfig and imageCredentialProviderBinDir go together, as in kubelet',
    );
  }
  const node = createNodeCredentials(
    {
      kubeletRootDir: config.kubeletRootDir,
      dockerConfigFiles: config.dockerConfig,
      providers:
        configPath !== undefined && binDir !== undefined
          ? { configPath, binDir, timeoutMs: config.credentialProviderTimeout }
          : undefined,
    },
    { serviceAccounts, pluginEnded: onPluginEnded },
  );
  return {
    source: {
      async offerFor(pod, repository) {
        const { credentials, problems } = await node.offerFor(repository, contextOf(pod));
        const [problem] = problems;
        return problem ? { credentials, problem: verdictOf(problem) } : { credentials };
      },
    },
    status: node.status,
    probe: (repository, pod) => node.probe(repository, pod && contextOf(pod)),
    close: node.close,
  };
}

function contextOf({ namespace, name, uid, serviceAccountName }: Pod) {
  return { namespace, name, uid, serviceAccountName };
}

function verdictOf(problem: Problem): Unverifiable {
  const { error } = problem;
  const what = 'provider' in problem ? `credential provider ${problem.provider}` : 'credential providers';
  const reason = error.reason === 'audienceForbidden' ? 'audienceForbidden' : 'providerUnavailable';
  return unverifiable(reason, `${what}: ${error.message}`);
}
