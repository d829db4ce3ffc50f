import { ProviderError } from '../../errors.ts';
import { decodeResponse, encodeRequest, type PluginRequest, type PluginResponse } from '../exec-protocol.ts';
import { pluginEnvironment } from '../plugin-environment.ts';
import type { Provider } from '../validate-provider-config.ts';
import { checkProgram, findPluginBinary } from './plugin-binary.ts';
import { type ProcessLimits, runPluginProcess } from './plugin-process.ts';

/** For whom a plugin is asked; who asks much waits longer than who asks little. */
export type Asker = { readonly registry: string; readonly namespace: string };

/** A plugin that can be asked. What it answers is a secret. */
export type Plugin<Response = PluginResponse> = {
  /** @throws ProviderError */
  run(request: PluginRequest, asker: Asker): Promise<Response>;
};

export type ExecPluginOptions = {
  readonly binDir: string;
  readonly limits: ProcessLimits;
  /** The agent's own environment, as `NAME=value`. */
  readonly environment: () => readonly string[];
  readonly signal: AbortSignal;
};

/**
 * A provider's executable, run once for each question (pkg/credentialprovider/plugin/plugin.go, ExecPlugin).
 */
export function createExecPlugin(
  { name, apiVersion, args, env }: Pick<Provider, 'name' | 'apiVersion' | 'args' | 'env'>,
  { binDir, limits, environment, signal }: ExecPluginOptions,
): Plugin {
  return {
    async run(request) {
      try {
        const path = await findPluginBinary(binDir, name);
        await checkProgram(path);
        const stdin = encodeRequest(apiVersion, request);
        const plugin = { path, args, environment: pluginEnvironment(environment(), env), stdin };
        return decodeResponse(await runPluginProcess(plugin, limits, signal), apiVersion);
      } catch (error) {
        if (!(error instanceof ProviderError)) throw error;
        throw new ProviderError(error.reason, `plugin ${name}: ${error.message}`);
      }
    },
  };
}
