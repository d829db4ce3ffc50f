import type { ProviderConfigError, ProviderError } from '../../errors.ts';
import { lookup, type SourcedConfig, sourcedKeyring } from '../keyring.ts';
import { keepTokens } from '../providers/kept-tokens.ts';
import { createTurns, type Turns } from '../providers/plugin-turns.ts';
import type { PodContext } from '../providers/pod-context.ts';
import { type Probe, probeProviders } from '../providers/probe.ts';
import { askProvider, type PassedOver, type ProviderLookup } from '../providers/provider.ts';
import { createProviderSet, type InspectedProvider, type PluginRun } from '../providers/provider-set.ts';
import type { ServiceAccountTokens } from '../providers/service-accounts.ts';
import type { SourcedCredential } from '../types.ts';
import { createNodeDockerConfig, type NodeDockerConfig } from './docker-config-files.ts';

export type NodeCredentialsOptions = {
  readonly kubeletRootDir: string;
  readonly dockerConfigFiles: readonly string[];
  /** Undefined: kubelet has no credential providers, or the agent cannot run them. */
  readonly providers:
    | { readonly configPath: string; readonly binDir: string; readonly timeoutMs: number }
    | undefined;
};

export type NodeCredentialsPorts = {
  /** Over the API server; not kept, that is done here. */
  readonly serviceAccounts: ServiceAccountTokens;
  readonly pluginEnded: (run: PluginRun) => void;
  /** The agent's scheduler; left out: four plugins at once, in the order in which they are asked. */
  readonly turns?: Turns;
};

/**
 * Where a credential may be missing: a refusal without it is no word of the registry about the pod's right.
 */
export type Problem =
  | { readonly provider: string; readonly error: ProviderError }
  | { readonly configPath: string; readonly error: ProviderConfigError };

/** What the node and the pod's service account can pull with. Must never be logged. */
export type NodeOffer = {
  /** In kubelet's order, behind the pod's imagePullSecrets: the docker config file, then the plugins. */
  readonly credentials: readonly SourcedCredential[];
  readonly problems: readonly Problem[];
  /** Providers for this image that are not for this pod. */
  readonly passedOver: readonly {
    readonly provider: string;
    readonly why: Exclude<PassedOver, 'otherImage'>;
  }[];
};

/** For metrics and doctor. Holds no credential. */
export type NodeCredentialsStatus = {
  readonly dockerConfig: {
    readonly file: string | undefined;
    readonly problems: NodeDockerConfig['problems'];
  };
  readonly providers: readonly ProviderStatus[];
  /** Undefined: there is none, or it was never good. */
  readonly configHash: string | undefined;
  readonly configProblem: ProviderConfigError | undefined;
};

export type ProviderStatus = InspectedProvider & {
  /** Undefined: it has not been run yet. */
  readonly lastRun: PluginRun | undefined;
};

/**
 * Everything that a pod may pull with besides its imagePullSecrets. Nothing is read or run unless it is
 * asked.
 */
export interface NodeCredentials {
  /** `repository` is normalized, as parseImageName gives it. */
  offerFor(repository: string, pod: PodContext): Promise<NodeOffer>;
  status(): Promise<NodeCredentialsStatus>;
  /** Asks the providers that match the image, for a pod or, without one, for the node itself. */
  probe(repository: string, pod: PodContext | undefined): Promise<readonly Probe[]>;
  /** Ends the plugins that run. */
  close(): void;
}

const STDOUT_BYTES = 1_048_576;

export function createNodeCredentials(
  options: NodeCredentialsOptions,
  { serviceAccounts, pluginEnded, turns = createTurns() }: NodeCredentialsPorts,
): NodeCredentials {
  const closing = new AbortController();
  const lastRuns = new Map<string, PluginRun>();
  const dockerConfig = createNodeDockerConfig({
    kubeletRootDir: options.kubeletRootDir,
    files: options.dockerConfigFiles,
  });
  const now = (): number => performance.now();
  const set =
    options.providers &&
    createProviderSet(
      { ...options.providers, stdoutBytes: STDOUT_BYTES },
      {
        serviceAccounts: keepTokens(serviceAccounts, { steady: now, wall: Date.now }),
        turns,
        now,
        environment: () => Object.entries(process.env).map(([name, value]) => `${name}=${value}`),
        signal: closing.signal,
        pluginEnded(run) {
          lastRuns.set(run.provider, run);
          pluginEnded(run);
        },
      },
    );

  return {
    async offerFor(repository, pod) {
      const [{ found }, inForce] = await Promise.all([dockerConfig.read(), set?.current()]);
      const ofNode = found
        ? [{ source: { kind: 'node', file: found.file }, entries: found.entries } as const]
        : [];
      const asked = await askProviders(inForce?.providers ?? [], repository, pod);
      const configProblem =
        options.providers && inForce?.problem
          ? [{ configPath: options.providers.configPath, error: inForce.problem }]
          : [];
      return {
        credentials: [
          ...lookup(sourcedKeyring(ofNode), repository),
          ...lookup(sourcedKeyring(asked.configs), repository),
        ],
        problems: [...configProblem, ...asked.problems],
        passedOver: asked.passedOver,
      };
    },
    async status() {
      const [{ found, problems }, providers, inForce] = await Promise.all([
        dockerConfig.read(),
        set?.inspect() ?? [],
        set?.current(),
      ]);
      return {
        dockerConfig: { file: found?.file, problems },
        providers: providers.map((provider) => ({ ...provider, lastRun: lastRuns.get(provider.name) })),
        configHash: inForce?.config?.hash,
        configProblem: inForce?.problem,
      };
    },
    async probe(repository, pod) {
      const inForce = await set?.current();
      return probeProviders(inForce?.providers ?? [], repository, pod, now);
    },
    close: () => closing.abort(),
  };
}

type Asked = {
  readonly configs: readonly SourcedConfig[];
  readonly problems: readonly Problem[];
  readonly passedOver: NodeOffer['passedOver'];
};

/**
 * All at once, where kubelet asks one after the other: the slowest decides how long the pod waits. Their
 * order, which decides between credentials under the same key, stays that of the configuration.
 */
export async function askProviders(
  providers: readonly ProviderLookup[],
  repository: string,
  pod: PodContext,
): Promise<Asked> {
  const answers = await Promise.all(
    providers.map(async (provider) => ({
      provider: provider.name,
      ...(await askProvider(provider, repository, pod)),
    })),
  );
  return {
    configs: answers.flatMap((answer) =>
      'provided' in answer && 'entries' in answer.provided ? [answer.provided] : [],
    ),
    problems: answers.flatMap((answer) =>
      'error' in answer ? [{ provider: answer.provider, error: answer.error }] : [],
    ),
    passedOver: answers.flatMap((answer) =>
      'provided' in answer && 'passedOver' in answer.provided && answer.provided.passedOver !== 'otherImage'
        ? [{ provider: answer.provider, why: answer.provided.passedOver }]
        : [],
    ),
  };
}
