import { once } from 'node:events';
import { get } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Config } from '../../config/resolve.ts';

/** How often the plugin of a provider ended in one way. */
export type PluginRuns = { readonly outcome: string; readonly count: number };

const TIMEOUT_MS = 1_000;
const LINE =
  /^pullwarden_credential_provider_plugin_runs_total\{provider="([^"]*)",outcome="([^"]*)"\} (\d+)$/gm;

/** By provider, as the agent of this node tells on its /metrics; empty where none answers. */
export async function readPluginRuns(
  address: Config['listenAddress'],
): Promise<ReadonlyMap<string, readonly PluginRuns[]>> {
  const runs = new Map<string, PluginRuns[]>();
  for (const [, provider = '', outcome = '', count] of (await metricsAt(address)).matchAll(LINE)) {
    runs.set(provider, [...(runs.get(provider) ?? []), { outcome, count: Number(count) }]);
  }
  return runs;
}

async function metricsAt(address: Config['listenAddress']): Promise<string> {
  if (address === undefined || address.port === 0) return '';
  const host = address.host === '' ? '127.0.0.1' : address.host;
  const { port } = address;
  try {
    // Not fetch, which needs WebAssembly: the image's Node has none.
    const asked = get({ host, port, path: '/metrics', signal: AbortSignal.timeout(TIMEOUT_MS) });
    const [response] = await once(asked, 'response');
    return response.statusCode === 200 ? await text(response) : '';
  } catch {
    // No agent runs here, or its address is another one.
    return '';
  }
}
