import type { Config } from '../../config/resolve.ts';
import type { NodeCredentialsStatus, ProviderStatus } from '../../credentials/node/node-credentials.ts';
import { ConfigError } from '../../errors.ts';
import { NO_SERVICE_ACCOUNTS } from '../../pods/service-account-source.ts';
import { openNodeCredentials } from '../../wiring/node-credentials.ts';
import { type Finding, failure, ok, warning } from './finding.ts';
import { type ProbeConfig, type ProbeWanted, probePlugins } from './probe-plugins.ts';
import { type PluginRuns, readPluginRuns } from './running-agent.ts';

export type NodeCredentialsConfig = ProbeConfig & Pick<Config, 'listenAddress'>;

/**
 * What the node has to pull with besides the pods' secrets: its docker config file and credential provider
 * plugins. No plugin is run unless a probe is wanted.
 */
export async function checkNodeCredentials(
  config: NodeCredentialsConfig,
  wanted: ProbeWanted | undefined,
): Promise<readonly Finding[]> {
  let node: ReturnType<typeof openNodeCredentials>;
  try {
    node = openNodeCredentials(config, NO_SERVICE_ACCOUNTS, () => undefined);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return [failure('credential providers', error.message, 'set both options, or neither')];
  }
  try {
    const status = await node.status();
    const runs = await readPluginRuns(config.listenAddress);
    return [
      ...checkDockerConfig(status),
      ...checkConfiguration(config, status),
      ...status.providers.map((provider) => checkPlugin(provider, runs.get(provider.name) ?? [])),
      ...(wanted ? await probePlugins(config, wanted) : []),
    ];
  } finally {
    node.close();
  }
}

function checkDockerConfig({ dockerConfig }: NodeCredentialsStatus): Finding[] {
  const { file, problems } = dockerConfig;
  return [
    ...problems.map((problem) =>
      warning(
        'docker config',
        `${problem.file}: ${problem.message}`,
        'kubelet passes over such a file and takes the next one; correct or remove it',
      ),
    ),
    ok('docker config', file ?? 'none'),
  ];
}

function checkConfiguration(
  { imageCredentialProviderConfig: path }: NodeCredentialsConfig,
  { configProblem, providers }: NodeCredentialsStatus,
): Finding[] {
  if (path === undefined) return [ok('credential providers', 'none configured')];
  return configProblem
    ? [
        failure(
          'credential providers',
          configProblem.message,
          `correct ${path}; kubelet would not start with it`,
        ),
      ]
    : [ok('credential providers', `${path}: ${providers.map(({ name }) => name).join(', ')}`)];
}

function checkPlugin({ name, file }: ProviderStatus, runs: readonly PluginRuns[]): Finding {
  const check = `provider ${name}`;
  const { path, problem, writableBy } = file;
  if (problem) {
    const advice =
      "mount the folder of executables; it must run in the agent's image, as a static program does";
    return failure(check, problem.message, advice);
  }
  if (writableBy !== undefined) {
    return warning(
      check,
      `${path} can be replaced by ${writableBy}`,
      'whoever may is root on this node: chown and chmod',
    );
  }
  const failed = runs.filter(({ outcome }) => outcome !== 'answered');
  const text = runs.map(({ outcome, count }) => `${count} ${outcome}`).join(', ');
  const detail = text === '' ? path : `${path}; since the agent started: ${text}`;
  return failed.length === 0
    ? ok(check, detail)
    : warning(check, detail, 'see docs/credentials.md for each reason; --probe IMAGE runs it now');
}
