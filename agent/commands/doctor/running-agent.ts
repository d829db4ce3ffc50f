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
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${address.port}/metrics`;
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    return response.ok ? await response.text() : '';
  } catch {
    // No agent runs here, or its address is another one.
    return '';
  }
}
