import { join } from 'node:path';
import { isLoopbackHost } from '../address.ts';
import {
  listConfigurationFolder,
  readCertificateFolder,
  readConfigurationFile,
  readTlsSettings,
} from './configuration-file.ts';
import { ConfigurationError, type Endpoint, plainTls, registryHost, type TlsSettings } from './endpoint.ts';
import { type ConfiguredHost, defaultBases, parseHostsFile } from './hosts-toml.ts';

export type ContainerdConfiguration = {
  /** The folders of containerd's `config_path`; the first that knows a registry is taken. */
  readonly folders: readonly string[];
  /** Hosts (`mirror.example:5000`) whose word is the registry's own. */
  readonly authoritativeMirrors: readonly string[];
};

/**
 * Where containerd would ask the registry itself: authoritative mirrors first, then the `[host]` tables that
 * are the registry itself, then `server`. No other mirror.
 *
 * @param registry as in the image's name: `docker.io`, `registry.example:5000`.
 * @throws ConfigurationError
 */
export async function containerdEndpoints(
  { folders, authoritativeMirrors }: ContainerdConfiguration,
  registry: string,
  repository: string,
): Promise<readonly Endpoint[]> {
  const folder = await hostFolder(folders, registry);
  if (folder === undefined) return defaultEndpoints(registry, repository, undefined, {});
  const file = join(folder, 'hosts.toml');
  const text = await readConfigurationFile(file);
  if (text === undefined || text === '') {
    const certificates = await readCertificateFolder(folder);
    const isEmpty = certificates.ca.length === 0 && certificates.client.length === 0;
    const tls = isEmpty ? undefined : { ...certificates, skipVerify: false };
    return defaultEndpoints(registry, repository, tls, {});
  }
  const { server, hosts } = parseHostsFile(text, file);
  const self = hosts.filter((host) => host.pulls && isItself(host, server, registry));
  const mirrors = hosts.filter(({ base, pulls }) => pulls && authoritativeMirrors.includes(base?.host ?? ''));
  const endpoints: Endpoint[] = [];
  for (const host of new Set([...mirrors, ...self, ...(server.pulls ? [server] : [])])) {
    if (host.rewrites) throw new ConfigurationError('rewriteNotSupported', file);
    const inherited = host === server ? settingsOfItself(server, self) : host;
    endpoints.push(...(await endpointsOf(host.base, inherited, registry, repository, file)));
  }
  const unique = new Map(endpoints.map((endpoint) => [endpoint.base.href, endpoint]));
  if (unique.size === 0) throw new ConfigurationError('noServer', file);
  return [...unique.values()];
}

/**
 * Whether hosts.toml gives containerd a way to this registry that the registry's own word says nothing about:
 * a mirror, or a header that logs in.
 *
 * @throws ConfigurationError
 */
export async function hasMirrorOrLogin(folders: readonly string[], registry: string): Promise<boolean> {
  const folder = await hostFolder(folders, registry);
  const file = join(folder ?? '', 'hosts.toml');
  const text = folder === undefined ? undefined : await readConfigurationFile(file);
  if (text === undefined || text === '') return false;
  const { server, hosts } = parseHostsFile(text, file);
  const isMirror = hosts.some((host) => host.pulls && !isItself(host, server, registry));
  return isMirror || [server, ...hosts].some(({ logsIn }) => logsIn);
}

/** HOST_PORT_, HOST:PORT, then _default, in each of the folders (config_unix.go). */
async function hostFolder(folders: readonly string[], registry: string): Promise<string | undefined> {
  const underscored = registry.replace(/(?<=.):([^:]*)$/, '_$1_');
  for (const root of folders) {
    for (const name of new Set([underscored, registry, '_default'])) {
      const folder = join(root, name);
      if ((await listConfigurationFolder(folder)) !== undefined) return folder;
    }
  }
  return undefined;
}

function isItself({ base }: ConfiguredHost, server: ConfiguredHost, registry: string): boolean {
  return base !== undefined && (base.host === server.base?.host || base.host === hostIn(registry));
}

/** As a URL has it: without a port that is the default. */
function hostIn(registry: string): string {
  const text = `https://${registryHost(registry)}`;
  return URL.canParse(text) ? new URL(text).host : '';
}

/** `server` itself often says nothing about TLS, where a `[host]` table with the same URL does. */
function settingsOfItself(server: ConfiguredHost, self: readonly ConfiguredHost[]): ConfiguredHost {
  const silent = server.ca.length === 0 && server.client.length === 0 && server.skipVerify === undefined;
  const same = self.find(({ base }) => base?.protocol === 'https:');
  if (!silent || same === undefined) return server;
  return { ...server, ca: same.ca, client: same.client, skipVerify: same.skipVerify };
}

async function endpointsOf(
  base: URL | undefined,
  settings: ConfiguredHost,
  registry: string,
  repository: string,
  file: string,
): Promise<readonly Endpoint[]> {
  const configured =
    settings.ca.length > 0 || settings.client.length > 0 || settings.skipVerify !== undefined;
  const tls = configured ? await readTlsSettings(settings, file) : undefined;
  if (base === undefined) return defaultEndpoints(registry, repository, tls, settings.headers);
  const namespace = base.host === hostIn(registry) ? undefined : registry;
  const endpoint = {
    repository,
    namespace,
    headers: settings.headers,
    tls: tls ?? plainTls,
    fallback: false,
  };
  if (base.protocol === 'https:' || tls === undefined || base.port === '') return [{ ...endpoint, base }];
  // Plain HTTP with TLS settings: containerd tries TLS first.
  const secured = new URL(base);
  secured.protocol = 'https:';
  return [
    { ...endpoint, base: secured },
    { ...endpoint, base, fallback: true },
  ];
}

/** Without a server in the configuration. On the node itself containerd does not look at certificates. */
function defaultEndpoints(
  registry: string,
  repository: string,
  tls: TlsSettings | undefined,
  headers: Endpoint['headers'],
): readonly Endpoint[] {
  const isLocal = isLoopbackHost(registry.replace(/:\d+$/, ''));
  const settings = { ...(tls ?? plainTls), ...(isLocal && { skipVerify: true }) };
  return defaultBases(registry, isLocal).map((base, n) => ({
    base,
    repository,
    namespace: undefined,
    headers,
    tls: settings,
    fallback: n > 0,
  }));
}
