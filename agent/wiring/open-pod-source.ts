import { statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../config/resolve.ts';
import { ConfigError } from '../errors.ts';
import { type ApiClient, createApiClient } from '../kubernetes/api-client.ts';
import { createIdentity } from '../kubernetes/identity.ts';
import { combinedPodSource } from '../pods/combined.ts';
import { openDirectoryPodSource } from '../pods/directory/source.ts';
import { openStaticPodSource } from '../pods/directory/static-pods.ts';
import { openKubernetesPodSource } from '../pods/kubernetes/source.ts';
import { type NamespaceSource, NO_NAMESPACES } from '../pods/namespace-source.ts';
import type { PodSource } from '../pods/pod-source.ts';
import { NO_SERVICE_ACCOUNTS, type ServiceAccountSource } from '../pods/service-account-source.ts';
import { packageVersion } from '../version.ts';

export type OpenedPodSource = {
  readonly pods: PodSource;
  readonly serviceAccounts: ServiceAccountSource;
  readonly namespaces: NamespaceSource;
  /** For Events; undefined where pods come from a folder, and nobody would read them. */
  readonly apiClient: ApiClient | undefined;
  /** Stops the source and closes what it was opened with. */
  close(): Promise<void>;
};

export type PodSourceOptions = {
  readonly onProblem: (message: string) => void;
  readonly onSynced?: (pods: number) => void;
};

type PodSourceConfig = Pick<Config, 'podsDirectory' | 'kubeconfig' | 'nodeName'> &
  Partial<Pick<Config, 'staticPods'>>;

/**
 * Opens, and does not start, the source that the configuration names: a folder of manifests, or the API
 * server.
 *
 * @throws ConfigError where there is nothing to go by, or both
 */
export function openPodSource(config: PodSourceConfig, options: PodSourceOptions): OpenedPodSource {
  const { podsDirectory: directory, kubeconfig, nodeName } = config;
  if (directory !== undefined) {
    if (kubeconfig !== undefined) {
      throw new ConfigError(
        'conflict',
        'pods come either from podsDirectory or, by kubeconfig, from the API server',
      );
    }
    const pods = openDirectoryPodSource({ directory, nodeName, onProblem: options.onProblem });
    return {
      pods,
      serviceAccounts: NO_SERVICE_ACCOUNTS,
      namespaces: NO_NAMESPACES,
      apiClient: undefined,
      close: () => pods.stop(),
    };
  }
  if (kubeconfig === undefined && !isApiServerKnown()) {
    throw new ConfigError(
      'missingOption',
      'no source of pods: set kubeconfig or podsDirectory, or run in a pod of the cluster',
    );
  }
  const apiClient = createApiClient({
    identity: createIdentity({ kubeconfig }),
    userAgent: `pullwarden/${packageVersion()}`,
  });
  const apiPods = openKubernetesPodSource({ client: apiClient, nodeName, ...options });
  const pods = withStaticPods(apiPods, config, options);
  return {
    pods,
    serviceAccounts: apiPods.serviceAccounts,
    namespaces: apiPods.namespaces,
    apiClient,
    async close() {
      await pods.stop();
      apiClient.close();
    },
  };
}

function withStaticPods(
  api: PodSource,
  { staticPods: directory, nodeName }: PodSourceConfig,
  { onProblem }: PodSourceOptions,
): PodSource {
  if (directory === undefined) return api;
  return combinedPodSource(api, openStaticPodSource({ directory, nodeName, onProblem }));
}

function isApiServerKnown(): boolean {
  const { KUBERNETES_SERVICE_HOST: service, KUBECONFIG: file, HOME: home = homedir() } = process.env;
  const usual = statSync(join(home, '.kube', 'config'), { throwIfNoEntry: false });
  return Boolean(service) || Boolean(file) || usual !== undefined;
}
