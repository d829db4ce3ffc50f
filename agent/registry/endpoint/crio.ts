import { join } from 'node:path';
import {
  listConfigurationFolder,
  readCertificateFolder,
  readConfigurationFile,
} from './configuration-file.ts';
import { ConfigurationError, type Endpoint, registryHost, type TlsSettings } from './endpoint.ts';
import {
  findEntry,
  type Location,
  mergeEntries,
  parseRegistriesConf,
  type RegistryEntry,
  rewrite,
} from './registries-conf.ts';

export type CrioConfiguration = {
  /** `/etc/containers/registries.conf`; its drop-ins are in the folder of the same name with `.d`. */
  readonly file: string;
  /** Folders with a folder of certificates for each host; the first that has one is taken. */
  readonly certificateFolders: readonly string[];
  readonly authoritativeMirrors: readonly string[];
};

/**
 * Where CRI-O would ask the registry itself: authoritative mirrors first, then the registry's own location.
 *
 * @throws ConfigurationError
 */
export async function crioEndpoints(
  { file, certificateFolders, authoritativeMirrors }: CrioConfiguration,
  registry: string,
  repository: string,
): Promise<readonly Endpoint[]> {
  const entries = await readEntries(file);
  const name = `${registry}/${repository}`;
  const found = findEntry(entries, name);
  if (found === undefined) {
    return endpointsAt(name, false, certificateFolders, file);
  }
  const { entry, covered } = found;
  if (entry.blocked) throw new ConfigurationError('blocked', file);
  const isAuthoritative = ({ location }: Location): boolean =>
    authoritativeMirrors.includes(location.split('/', 1)[0] ?? '');
  const locations = [...entry.mirrors.filter(isAuthoritative), entry];
  const endpoints: Endpoint[] = [];
  for (const location of locations) {
    const there = rewrite(name, covered, location);
    endpoints.push(...(await endpointsAt(there, location.insecure, certificateFolders, file)));
  }
  return endpoints;
}

async function readEntries(file: string): Promise<readonly RegistryEntry[]> {
  const folder = `${file}.d`;
  const names = ((await listConfigurationFolder(folder)) ?? []).filter((name) => name.endsWith('.conf'));
  const paths = [file, ...names.map((name) => join(folder, name))];
  const read = paths.map(async (path) =>
    parseRegistriesConf((await readConfigurationFile(path)) ?? '', path),
  );
  return mergeEntries(await Promise.all(read));
}

/** By TLS; an insecure one without a look at its certificate, and by plain HTTP if it knows no TLS. */
async function endpointsAt(
  name: string,
  insecure: boolean,
  certificateFolders: readonly string[],
  file: string,
): Promise<readonly Endpoint[]> {
  const slash = name.indexOf('/');
  const [host, repository] = [name.slice(0, slash), name.slice(slash + 1)];
  const base = `${registryHost(host)}/v2`;
  if (slash < 1 || repository === '' || !URL.canParse(`https://${base}`)) {
    throw new ConfigurationError('invalidServer', file);
  }
  const tls: TlsSettings = { ...(await certificatesOf(host, certificateFolders)), skipVerify: insecure };
  const endpoint = { repository, namespace: undefined, headers: {}, tls };
  const secured = { ...endpoint, base: new URL(`https://${base}`), fallback: false };
  if (!insecure) return [secured];
  return [secured, { ...endpoint, base: new URL(`http://${base}`), fallback: true }];
}

async function certificatesOf(
  host: string,
  folders: readonly string[],
): Promise<Omit<TlsSettings, 'skipVerify'>> {
  for (const folder of folders) {
    const own = join(folder, host);
    if ((await listConfigurationFolder(own)) !== undefined) return readCertificateFolder(own);
  }
  return { ca: [], client: [] };
}
