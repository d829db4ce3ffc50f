import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { ClusterAccess } from './cluster-access.ts';
import { loadKubeconfig } from './kubeconfig.ts';

export type AccessPlaces = {
  /**
   * A kubeconfig, kubelet's for example. Without it: the pod's ServiceAccount, then KUBECONFIG and
   * ~/.kube/config.
   */
  readonly kubeconfig?: string | undefined;
  /** Where the ServiceAccount's token and CA are mounted, if not at the usual place. */
  readonly serviceAccountDirectory?: string | undefined;
  readonly environment?: NodeJS.ProcessEnv | undefined;
};

const SERVICE_ACCOUNT_DIRECTORY = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * Reads who the agent is to which API server, as the files say now.
 *
 * @throws ApiError identityUnusable
 */
export async function loadClusterAccess(places: AccessPlaces): Promise<ClusterAccess> {
  const environment = places.environment ?? process.env;
  if (places.kubeconfig !== undefined) return loadKubeconfig(places.kubeconfig);
  if (environment.KUBERNETES_SERVICE_HOST) return inCluster(environment, places.serviceAccountDirectory);
  const [fromEnvironment] = (environment.KUBECONFIG ?? '').split(delimiter).filter((path) => path !== '');
  return loadKubeconfig(fromEnvironment ?? join(environment.HOME ?? homedir(), '.kube', 'config'));
}

/** As client-go's rest.InClusterConfig: the token is a file, read again as it rotates. */
function inCluster(environment: NodeJS.ProcessEnv, directory = SERVICE_ACCOUNT_DIRECTORY): ClusterAccess {
  const host = environment.KUBERNETES_SERVICE_HOST ?? '';
  const port = environment.KUBERNETES_SERVICE_PORT || '443';
  return {
    cluster: {
      server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
      ca: { file: join(directory, 'ca.crt') },
    },
    user: { token: { file: join(directory, 'token') } },
  };
}
