import type { Config } from '../config/resolve.ts';
import type { RegistryClient, RegistryClientOptions } from '../registry/client.ts';

type RegistryConfig = Pick<Config, 'registryConfigDir' | 'registriesConf' | 'authoritativeMirrors'>;

/** Where containers/image looks for the CA and client certificates of a host (containers-certs.d(5)). */
const CERTIFICATES = ['/etc/containers/certs.d', '/etc/docker/certs.d'];

/** A client for registries themselves, which finds them where this runtime would. */
export function openRegistry(config: RegistryConfig, runtimeSocket: string): RegistryClient {
  const { registryConfigDir: folders, registriesConf: file, authoritativeMirrors } = config;
  return loadedWhenAsked({
    configuration: isCrio(runtimeSocket)
      ? { runtime: 'crio', file, certificateFolders: CERTIFICATES, authoritativeMirrors }
      : { runtime: 'containerd', folders, authoritativeMirrors },
  });
}

/** An HTTP client takes some 6 MiB, and a node whose records answer everything never needs it. */
function loadedWhenAsked(options: RegistryClientOptions): RegistryClient {
  let loading: Promise<RegistryClient> | undefined;
  const client = (): Promise<RegistryClient> => {
    loading ??= import('../registry/client.ts').then(({ createRegistryClient }) =>
      createRegistryClient(options),
    );
    return loading;
  };
  return {
    manifest: async (question) => (await client()).manifest(question),
    blob: async (question, sink) => (await client()).blob(question, sink),
    close: async () => (await loading)?.close(),
  };
}

/** CRI-O has its socket in a folder of its name; all others are containerd, or built on it. */
function isCrio(socket: string): boolean {
  return /(^|\/)crio(\/|\.)/.test(socket);
}
