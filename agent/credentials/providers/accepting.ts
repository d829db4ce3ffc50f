import { ProviderError } from '../../errors.ts';
import type { PluginResponse } from '../exec-protocol.ts';
import { type CacheKeyType, isCacheKeyType } from '../provider-cache-key.ts';
import type { Provider } from '../validate-provider-config.ts';
import type { Plugin } from './exec-plugin.ts';

/** An answer that kubelet would use. Must never be logged. */
export type AcceptedResponse = PluginResponse & { readonly cacheKeyType: CacheKeyType };

/**
 * The same plugin, whose answer is an error where kubelet would not use it (pluginProvider.provide): it is to
 * be reported and backed off like any other failure.
 */
export function accepting(
  plugin: Plugin,
  { name, tokenAttributes }: Pick<Provider, 'name' | 'tokenAttributes'>,
): Plugin<AcceptedResponse> {
  return {
    async run(request, asker) {
      const response = await plugin.run(request, asker);
      const { serviceAccountToken: token } = request;
      // Kept for all of an account's pods, a pod's own token would outlive the pod.
      const mayEcho = tokenAttributes?.cacheType === 'Token' || token === '';
      if (!mayEcho && isEchoed(token, response)) {
        throw new ProviderError(
          'tokenEchoed',
          `plugin ${name}: it gave back the token; that is for cacheType Token`,
        );
      }
      const { cacheKeyType } = response;
      if (!isCacheKeyType(cacheKeyType)) {
        throw new ProviderError(
          'cacheKeyTypeInvalid',
          `plugin ${name}: its cacheKeyType is none that there is`,
        );
      }
      return { ...response, cacheKeyType };
    },
  };
}

function isEchoed(token: string, { auth }: PluginResponse): boolean {
  return [...(auth?.values() ?? [])].some(({ password }) => password === token);
}
