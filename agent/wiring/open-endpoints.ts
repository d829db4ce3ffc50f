import type { Config } from '../config/resolve.ts';
import { createEndpoints, type Endpoints } from '../registry/endpoint/endpoints.ts';

type RegistryConfig = Pick<Config, 'registryConfigDir' | 'registriesConf' | 'authoritativeMirrors'>;

/** Where containers/image looks for the CA and client certificates of a host (containers-certs.d(5)). */
const CERTIFICATES = ['/etc/containers/certs.d', '/etc/docker/certs.d'];

/** Where registries are, as this runtime has it. */
export function openEndpoints(config: RegistryConfig, runtimeSocket: string): Endpoints {
  const { registryConfigDir: folders, registriesConf: file, authoritativeMirrors } = config;
  return createEndpoints(
    isCrio(runtimeSocket)
      ? { runtime: 'crio', file, certificateFolders: CERTIFICATES, authoritativeMirrors }
      : { runtime: 'containerd', folders, authoritativeMirrors },
  );
}

/** CRI-O has its socket in a folder of its name; all others are containerd, or built on it. */
function isCrio(socket: string): boolean {
  return /(^|\/)crio(\/|\.)/.test(socket);
}
