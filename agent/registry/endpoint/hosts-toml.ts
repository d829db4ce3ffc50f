import { ConfigurationError, registryHost } from './endpoint.ts';
import { isTable, reader, readToml, type Table } from './toml.ts';

/** One host of a hosts.toml as it stands there; files are not read yet. */
export type ConfiguredHost = {
  /** Undefined where no server is named: then the registry in the image's name is meant. */
  readonly base: URL | undefined;
  readonly pulls: boolean;
  readonly ca: readonly string[];
  /** Certificate and key; the key is undefined where both are in one file. */
  readonly client: readonly (readonly [certificate: string, key: string | undefined])[];
  readonly skipVerify: boolean | undefined;
  readonly headers: Readonly<Record<string, readonly string[]>>;
  /** The runtime sends a login of its own, which is not among `headers`. */
  readonly logsIn: boolean;
  readonly rewrites: boolean;
};

export type HostsFile = {
  /** The registry itself. */
  readonly server: ConfiguredHost;
  /** The `[host]` tables in order: mirrors, and sometimes the registry itself once more. */
  readonly hosts: readonly ConfiguredHost[];
};

const CAPABILITIES = new Set(['pull', 'resolve', 'push', 'referrers']);

/**
 * Reads a hosts.toml as containerd does (core/remotes/docker/config/hosts.go, docs/hosts.md). Paths in it are
 * as they stand there, relative ones from the file's folder.
 *
 * @throws ConfigurationError
 */
export function parseHostsFile(text: string, file: string): HostsFile {
  const root = readToml(text, file);
  const { text: rootText, table } = reader(root, file);
  const hosts = Object.entries(table('host') ?? {}).map(([server, entry]) => {
    if (!isTable(entry)) throw new ConfigurationError('wrongType', file);
    return readHost(server, entry, file);
  });
  return { server: readHost(rootText('server') ?? '', root, file), hosts };
}

function readHost(server: string, table: Table, file: string): ConfiguredHost {
  const { flag, texts, table: nested } = reader(table, file);
  const capabilities = (texts('capabilities') ?? []).map((name) => name.toLowerCase());
  if (!capabilities.every((name) => CAPABILITIES.has(name))) throw new ConfigurationError('wrongType', file);
  const can = (name: string): boolean => capabilities.length === 0 || capabilities.includes(name);
  const headers = nested('header') ?? {};
  return {
    base: server === '' ? undefined : readServer(server, flag('override_path') ?? false, file),
    pulls: can('pull') && can('resolve'),
    ca: texts('ca') ?? [],
    client: readClient(table.client, file),
    skipVerify: flag('skip_verify'),
    headers: readHeaders(headers, file),
    logsIn: Object.keys(headers).some((name) => LOGIN.test(name)),
    rewrites: Object.keys(nested('rewrite') ?? {}).length > 0,
  };
}

/** `host:port` means https; the path ends with /v2 unless it is said to be whole. */
function readServer(server: string, overridePath: boolean, file: string): URL {
  const text = server.startsWith('http://') || server.startsWith('https://') ? server : `https://${server}`;
  if (!URL.canParse(text)) throw new ConfigurationError('invalidServer', file);
  const url = new URL(text);
  if (url.hostname === '' || url.search !== '' || url.hash !== '' || url.username !== '') {
    throw new ConfigurationError('invalidServer', file);
  }
  const path = url.pathname.replace(/\/+/g, '/').replace(/\/$/, '');
  url.pathname = overridePath || path.endsWith('/v2') ? path : `${path}/v2`;
  return url;
}

function readClient(client: unknown, file: string): ConfiguredHost['client'] {
  if (client === undefined) return [];
  const list: unknown[] = Array.isArray(client) ? client : [client];
  return list.map((entry) => {
    if (typeof entry === 'string') return [entry, undefined];
    const [certificate, key, ...more]: unknown[] = Array.isArray(entry) ? entry : [];
    if (typeof certificate !== 'string' || typeof key !== 'string' || more.length > 0) {
      throw new ConfigurationError('wrongType', file);
    }
    return [certificate, key === '' ? undefined : key];
  });
}

const LOGIN = /^(authorization|proxy-authorization|cookie)$/i;

/**
 * Without those that log in: what the runtime may have by its own credentials is no right of the pod's, and
 * the question is about the pod's.
 */
function readHeaders(table: Table, file: string): ConfiguredHost['headers'] {
  const { texts } = reader(table, file);
  const names = Object.keys(table).filter((name) => !LOGIN.test(name) && !/^host$/i.test(name));
  return Object.fromEntries(names.map((name) => [name.toLowerCase(), texts(name) ?? []]));
}

/** What the server's or a host's URL says, or else what containerd makes of the registry's name. */
export function defaultBases(registry: string, isLocal: boolean): readonly URL[] {
  const https = new URL(`https://${registryHost(registry)}/v2`);
  if (!isLocal) return [https];
  const port = /:(\d+)$/.exec(registry)?.[1];
  const http = new URL(`http://${registry}/v2`);
  if (port === undefined || port === '443') return [https];
  return port === '80' ? [http] : [https, http];
}
