import { type ProviderConfigError, ProviderError } from '../../errors.ts';
import { lookup, type SourcedConfig, sourcedKeyring } from '../keyring.ts';
import { keepTokens } from '../providers/kept-tokens.ts';
import { createTurns, type Turns } from '../providers/plugin-turns.ts';
import type { PodContext } from '../providers/pod-context.ts';
import type { PassedOver, Provided, ProviderLookup } from '../providers/provider.ts';
import { createProviderSet, type PluginRun } from '../providers/provider-set.ts';
import type { ServiceAccountTokens } from '../providers/service-accounts.ts';
import type { SourcedCredential } from '../types.ts';
import type { Provider } from '../validate-provider-config.ts';
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

export type ProviderStatus = Pick<Provider, 'name' | 'apiVersion' | 'matchImages' | 'tokenAttributes'> & {
  readonly binaryProblem: ProviderError | undefined;
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
      const [{ found, problems }, inForce] = await Promise.all([dockerConfig.read(), set?.current()]);
      const providers = (inForce?.config?.providers ?? []).map(
        async ({ name, apiVersion, matchImages, tokenAttributes }) => ({
          name,
          apiVersion,
          matchImages,
          ...(tokenAttributes && { tokenAttributes }),
          binaryProblem: await set?.checkBinary(name),
          lastRun: lastRuns.get(name),
        }),
      );
      return {
        dockerConfig: { file: found?.file, problems },
        providers: await Promise.all(providers),
        configHash: inForce?.config?.hash,
        configProblem: inForce?.problem,
      };
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
  const answers = await Promise.all(providers.map((provider) => answerOf(provider, repository, pod)));
  return {
    configs: answers.flatMap(({ provided }) => (provided && 'entries' in provided ? [provided] : [])),
    problems: answers.flatMap(({ provider, error }) => (error ? [{ provider, error }] : [])),
    passedOver: answers.flatMap(({ provider, provided }) =>
      provided && 'passedOver' in provided && provided.passedOver !== 'otherImage'
        ? [{ provider, why: provided.passedOver }]
        : [],
    ),
  };
}

type Answer = { readonly provider: string; readonly provided?: Provided; readonly error?: ProviderError };

async function answerOf(provider: ProviderLookup, repository: string, pod: PodContext): Promise<Answer> {
  try {
    return { provider: provider.name, provided: await provider.provide(repository, pod) };
  } catch (error) {
    if (error instanceof ProviderError) return { provider: provider.name, error };
    throw error;
  }
}
