import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
// Not the package's main file, nor its KubeConfig: these load every model of the API, about 75 MiB. See docs.
import {
  type Cluster,
  newClusters,
  newContexts,
  newUsers,
  type User,
} from '@kubernetes/client-node/dist/config_types.js';
import { parse } from 'yaml';
import { z } from 'zod';
import { ApiError } from './api-error.ts';

/** Which API server, and as whom; as a kubeconfig's current context says. Must never be logged. */
export type ClusterAccess = { readonly cluster: Cluster; readonly user: User };

const MAX_KUBECONFIG_BYTES = 1_048_576;
const SERVICE_ACCOUNT_DIRECTORY = '/var/run/secrets/kubernetes.io/serviceaccount';

const kubeconfigFile = z.object({
  clusters: z.array(z.unknown()).nullish(),
  users: z
    .array(
      z.looseObject({
        name: z.string(),
        user: z.looseObject({ tokenFile: z.string().optional() }).nullish(),
      }),
    )
    .nullish(),
  contexts: z.array(z.unknown()).nullish(),
  'current-context': z.string(),
});

export type AccessPlaces = {
  /** A kubeconfig, kubelet's for example; without it the pod's ServiceAccount, then KUBECONFIG and ~/.kube/config. */
  readonly kubeconfig?: string | undefined;
  /** Where the ServiceAccount's token and the CA are, if not at their usual place. */
  readonly serviceAccountDirectory?: string | undefined;
  readonly environment?: NodeJS.ProcessEnv | undefined;
};

/**
 * Reads what a kubeconfig, or the ServiceAccount of the pod that this runs in, says now; files that it names are named
 * absolutely.
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
      name: 'inCluster',
      server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
      caFile: join(directory, 'ca.crt'),
      skipTLSVerify: false,
    },
    user: { name: 'inClusterUser', authProvider: tokenFileProvider(join(directory, 'token')) },
  };
}

async function loadKubeconfig(path: string): Promise<ClusterAccess> {
  const directory = dirname(path);
  const file = await readKubeconfig(path);
  const context = newContexts(file.contexts).find(({ name }) => name === file['current-context']);
  const cluster = newClusters(file.clusters).find(({ name }) => name === context?.cluster);
  const user = usersOf(file, directory).find(({ name }) => name === context?.user);
  if (!cluster || !user) {
    throw new ApiError('identityUnusable', `kubeconfig ${path}: current-context names no cluster and user`);
  }
  const unusable = unsupported(cluster, user);
  if (unusable) throw new ApiError('identityUnusable', `kubeconfig ${path}: ${unusable}`);
  return {
    cluster: { ...cluster, ...withPath('caFile', directory, cluster.caFile) },
    user: {
      ...user,
      ...withPath('certFile', directory, user.certFile),
      ...withPath('keyFile', directory, user.keyFile),
    },
  };
}

async function readKubeconfig(path: string): Promise<z.infer<typeof kubeconfigFile>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new ApiError('identityUnusable', `kubeconfig ${path}: ${errorCode(error)}`, { cause: error });
  }
  try {
    if (text.length > MAX_KUBECONFIG_BYTES) throw new RangeError();
    return kubeconfigFile.parse(parse(text, { logLevel: 'silent' }));
  } catch {
    // What went wrong may quote the file, so it is not passed on.
    throw new ApiError('identityUnusable', `kubeconfig ${path}: is no kubeconfig with a current-context`);
  }
}

/** newUsers reads `token-file` once and knows no `tokenFile`, which is what client-go writes and reads anew. */
function usersOf(file: z.infer<typeof kubeconfigFile>, directory: string): User[] {
  const entries = file.users ?? [];
  return newUsers(entries).map((user, index) => {
    const tokenFile = entries[index]?.user?.tokenFile;
    const exec = resolvedExec(user.exec, directory);
    return {
      ...user,
      ...(exec && { exec }),
      ...(tokenFile && { authProvider: tokenFileProvider(resolvePath(directory, tokenFile)) }),
    };
  });
}

const execConfig = z.looseObject({
  apiVersion: z.string().default('client.authentication.k8s.io/v1'),
  command: z.string().min(1),
  env: z.array(z.object({ name: z.string(), value: z.string() })).nullish(),
});

/** A command with a path is relative to the kubeconfig, and the plugin is told who asks (KUBERNETES_EXEC_INFO), as by client-go. */
function resolvedExec(exec: unknown, directory: string): object | undefined {
  if (!exec) return undefined;
  const config = execConfig.safeParse(exec).data;
  if (!config) throw new ApiError('identityUnusable', 'kubeconfig: exec names no command');
  const info = { kind: 'ExecCredential', apiVersion: config.apiVersion, spec: { interactive: false } };
  return {
    ...config,
    command: config.command.includes('/') ? resolvePath(directory, config.command) : config.command,
    env: [...(config.env ?? []), { name: 'KUBERNETES_EXEC_INFO', value: JSON.stringify(info) }],
  };
}

function unsupported(cluster: Cluster, user: User): string | undefined {
  if (!cluster.server.startsWith('https://')) return 'the server is not https';
  if (cluster.skipTLSVerify) return 'insecure-skip-tls-verify: who answers must be known';
  if (cluster.proxyUrl) return 'proxy-url is not supported';
  if (user.authProvider && !tokenFileOf(user)) return 'auth-provider is not supported, use exec';
  if (user.username) return 'username and password are not supported';
  return undefined;
}

/** The form in which the official client's FileAuth wants it. */
function tokenFileProvider(tokenFile: string): object {
  return { name: 'tokenFile', config: { tokenFile } };
}

/** The file of a bearer token that is read anew as it rotates. */
export function tokenFileOf(user: User): string | undefined {
  return z.object({ config: z.object({ tokenFile: z.string() }) }).safeParse(user.authProvider).data?.config
    .tokenFile;
}

function withPath(
  field: 'caFile' | 'certFile' | 'keyFile',
  directory: string,
  path: string | undefined,
): object {
  return path ? { [field]: resolvePath(directory, path) } : {};
}

function resolvePath(directory: string, path: string): string {
  return isAbsolute(path) ? path : join(directory, path);
}

/** ENOENT and the like: a message could quote what was read. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'cannot be read';
}
