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
import { ApiError } from '../errors.ts';
import { errorCode } from './error-code.ts';
import type { ExecConfig } from './exec-plugin.ts';

/** Which API server, and as whom; as a kubeconfig's current context says. Must never be logged. */
export type ClusterAccess = {
  readonly cluster: Cluster;
  readonly user: User;
  /** Where a plugin says who the user is; files that it names are named absolutely. */
  readonly exec?: ExecConfig;
};

const MAX_KUBECONFIG_BYTES = 1_048_576;
const SERVICE_ACCOUNT_DIRECTORY = '/var/run/secrets/kubernetes.io/serviceaccount';

const text = z.string().nullish();

/** What the official client's own reading takes for granted, and the fields that it does not know. */
const kubeconfigFile = z.object({
  clusters: z.array(
    z.object({
      name: z.string().min(1),
      cluster: z.looseObject({
        server: z.string().min(1),
        'certificate-authority': text,
        'certificate-authority-data': text,
        'tls-server-name': text,
        'proxy-url': text,
      }),
    }),
  ),
  users: z.array(
    z.object({
      name: z.string().min(1),
      user: z
        .looseObject({
          token: text,
          tokenFile: text,
          as: text,
          'client-certificate': text,
          'client-certificate-data': text,
          'client-key': text,
          'client-key-data': text,
        })
        .nullish(),
    }),
  ),
  contexts: z.array(
    z.object({ name: z.string().min(1), context: z.looseObject({ cluster: z.string().min(1), user: text }) }),
  ),
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
  const unusable = (why: string): ApiError => new ApiError('identityUnusable', `kubeconfig ${path}: ${why}`);
  const context = newContexts(file.contexts).find(({ name }) => name === file['current-context']);
  const cluster = newClusters(file.clusters).find(({ name }) => name === context?.cluster);
  const entry = file.users.find(({ name }) => name === context?.user);
  const [user] = entry ? usersOf(entry, directory) : [];
  if (!cluster || !user) throw unusable('current-context names no cluster and user');
  const why = unsupported(cluster, user);
  if (why) throw unusable(why);
  const exec = user.exec ? execOf(user.exec, directory) : undefined;
  if (user.exec && !exec) throw unusable('exec names no command');
  return {
    cluster: { ...cluster, ...withPath('caFile', directory, cluster.caFile) },
    user: {
      ...user,
      ...withPath('certFile', directory, user.certFile),
      ...withPath('keyFile', directory, user.keyFile),
    },
    ...(exec && { exec }),
  };
}

async function readKubeconfig(path: string): Promise<z.infer<typeof kubeconfigFile>> {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (error) {
    throw new ApiError('identityUnusable', `kubeconfig ${path}: ${errorCode(error)}`, { cause: error });
  }
  try {
    if (content.length > MAX_KUBECONFIG_BYTES) throw new RangeError();
    return kubeconfigFile.parse(parse(content, { logLevel: 'silent' }));
  } catch {
    // What went wrong may quote the file, so it is not passed on.
    throw new ApiError('identityUnusable', `kubeconfig ${path}: is no kubeconfig`);
  }
}

/** newUsers reads the file of `token-file`, which kubectl does not know, and not `tokenFile`, which it does. */
function usersOf(entry: z.infer<typeof kubeconfigFile>['users'][number], directory: string): User[] {
  const { tokenFile, 'token-file': _, ...user } = entry.user ?? {};
  const provider = tokenFile && { authProvider: tokenFileProvider(resolvePath(directory, tokenFile)) };
  return newUsers([{ name: entry.name, user }]).map((read) => ({ ...read, ...provider }));
}

const execConfig = z.looseObject({
  apiVersion: z.string().default('client.authentication.k8s.io/v1'),
  command: z.string().min(1),
  args: z.array(z.string()).nullish(),
  env: z.array(z.object({ name: z.string(), value: z.string() })).nullish(),
});

/** A command with a path is relative to the kubeconfig, and the plugin is told who asks (KUBERNETES_EXEC_INFO), as by client-go. */
function execOf(exec: unknown, directory: string): ExecConfig | undefined {
  const config = execConfig.safeParse(exec).data;
  if (!config) return undefined;
  const info = { kind: 'ExecCredential', apiVersion: config.apiVersion, spec: { interactive: false } };
  const given = (config.env ?? []).map(({ name, value }) => [name, value] as const);
  return {
    command: config.command.includes('/') ? resolvePath(directory, config.command) : config.command,
    args: config.args ?? [],
    env: { ...Object.fromEntries(given), KUBERNETES_EXEC_INFO: JSON.stringify(info) },
  };
}

function unsupported(cluster: Cluster, user: User): string | undefined {
  if (!cluster.server.startsWith('https://') || !URL.canParse(cluster.server))
    return 'the server is not https';
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
