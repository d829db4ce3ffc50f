import { ProviderConfigError, ProviderError } from '../../errors.ts';
import type { Provider } from '../validate-provider-config.ts';
import { accepting } from './accepting.ts';
import { configFingerprint, type LoadedConfig, loadProviderConfig } from './config-files.ts';
import { createExecPlugin, type Plugin } from './exec-plugin.ts';
import { inspectPluginFile, type PluginFile } from './plugin-file.ts';
import { inTurn, type Turns } from './plugin-turns.ts';
import { createProvider, type ProviderLookup } from './provider.ts';
import type { ServiceAccountTokens } from './service-accounts.ts';
import type { Fingerprint } from './small-file.ts';

export type ProviderSetOptions = {
  /** Kubelet's --image-credential-provider-config: a file or a folder. */
  readonly configPath: string;
  /** Kubelet's --image-credential-provider-bin-dir. */
  readonly binDir: string;
  /** How long a plugin may take, ms; kubelet's own limit, and the most that makes sense, is 60 s. */
  readonly timeoutMs: number;
  /** What a plugin may print. */
  readonly stdoutBytes: number;
};

export type ProviderSetPorts = {
  readonly serviceAccounts: ServiceAccountTokens;
  readonly turns: Turns;
  /** ms, of a clock that only goes forward. */
  readonly now: () => number;
  /** The agent's own environment, as `NAME=value`. */
  readonly environment: () => readonly string[];
  readonly signal: AbortSignal;
  /** After each run of a plugin: `answered`, or why not. */
  readonly pluginEnded: (run: PluginRun) => void;
};

export type PluginRun = {
  readonly provider: string;
  readonly outcome: 'answered' | ProviderError['reason'];
  readonly durationMs: number;
};

/** The providers in force. */
export type ProvidersInForce = {
  readonly providers: readonly ProviderLookup[];
  /** Undefined until a configuration was good. */
  readonly config: LoadedConfig | undefined;
  /** Why the configuration as it is now is not the one in force. */
  readonly problem: ProviderConfigError | undefined;
};

export type InspectedProvider = Pick<Provider, 'name' | 'apiVersion' | 'matchImages' | 'tokenAttributes'> & {
  readonly file: PluginFile;
};

export type ProviderSet = {
  /** Looks whether the configuration has changed. A bad one leaves the last good one in force. */
  current(): Promise<ProvidersInForce>;
  /** Those of the configuration in force, with what can be told of their executables. Nothing is run. */
  inspect(): Promise<readonly InspectedProvider[]>;
};

export function createProviderSet(options: ProviderSetOptions, ports: ProviderSetPorts): ProviderSet {
  let print: Fingerprint | undefined;
  let inForce: ProvidersInForce = { providers: [], config: undefined, problem: undefined };
  let loading: Promise<void> | undefined;

  async function reload(): Promise<void> {
    const printNow = await configFingerprint(options.configPath);
    if (printNow === print) return;
    try {
      const config = await loadProviderConfig(options.configPath);
      // The same content, touched: what the providers know stays.
      const providers =
        config.hash === inForce.config?.hash
          ? inForce.providers
          : config.providers.map((provider) => lookupOf(provider, options, ports));
      inForce = { providers, config, problem: undefined };
    } catch (error) {
      if (!(error instanceof ProviderConfigError)) throw error;
      inForce = { ...inForce, problem: error };
    }
    print = printNow;
  }

  async function current(): Promise<ProvidersInForce> {
    loading ??= reload().finally(() => {
      loading = undefined;
    });
    await loading;
    return inForce;
  }

  return {
    current,
    async inspect() {
      const { config } = await current();
      const providers = config?.providers ?? [];
      return Promise.all(
        providers.map(async ({ name, apiVersion, matchImages, tokenAttributes }) => ({
          name,
          apiVersion,
          matchImages,
          ...(tokenAttributes && { tokenAttributes }),
          file: await inspectPluginFile(options.binDir, name),
        })),
      );
    },
  };
}

function lookupOf(
  provider: Provider,
  { binDir, timeoutMs, stdoutBytes }: ProviderSetOptions,
  { serviceAccounts, turns, now, environment, signal, pluginEnded }: ProviderSetPorts,
): ProviderLookup {
  const exec = createExecPlugin(provider, {
    binDir,
    limits: { timeoutMs, stdoutBytes },
    environment,
    signal,
  });
  const used = accepting(exec, provider);
  const plugin = inTurn(reporting(used, provider.name, now, pluginEnded), turns, now);
  return createProvider(provider, { plugin, serviceAccounts, now });
}

function reporting<Response>(
  plugin: Plugin<Response>,
  provider: string,
  now: () => number,
  ended: ProviderSetPorts['pluginEnded'],
): Plugin<Response> {
  return {
    async run(request, asker) {
      const startedAt = now();
      try {
        const response = await plugin.run(request, asker);
        ended({ provider, outcome: 'answered', durationMs: now() - startedAt });
        return response;
      } catch (error) {
        if (error instanceof ProviderError) {
          ended({ provider, outcome: error.reason, durationMs: now() - startedAt });
        }
        throw error;
      }
    },
  };
}
