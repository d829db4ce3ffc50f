import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { ApiError } from '../errors.ts';
import type { Cluster, ClusterAccess, Pem, User } from './cluster-access.ts';
import { errorCode } from './error-code.ts';
import type { ExecConfig } from './exec-plugin.ts';

const MAX_KUBECONFIG_BYTES = 1_048_576;

const text = z.string().nullish();

const clusterEntry = z.object({
  server: z.string().min(1),
  'certificate-authority': text,
  'certificate-authority-data': text,
  'tls-server-name': text,
  'proxy-url': text,
  'insecure-skip-tls-verify': z.boolean().nullish(),
});

const userEntry = z.object({
  token: text,
  tokenFile: text,
  'client-certificate': text,
  'client-certificate-data': text,
  'client-key': text,
  'client-key-data': text,
  username: text,
  as: text,
  'as-uid': text,
  'as-groups': z.array(z.string()).nullish(),
  'as-user-extra': z.unknown().optional(),
  'auth-provider': z.unknown().optional(),
  exec: z.unknown().optional(),
});

/**
 * The fields of a kubeconfig (client-go tools/clientcmd/api/v1) that the agent uses, or must refuse to
 * ignore.
 */
const kubeconfigFile = z.object({
  clusters: z.array(z.object({ name: z.string().min(1), cluster: clusterEntry })),
  users: z.array(z.object({ name: z.string().min(1), user: userEntry.nullish() })),
  contexts: z.array(
    z.object({ name: z.string().min(1), context: z.object({ cluster: z.string().min(1), user: text }) }),
  ),
  'current-context': z.string(),
});

const execEntry = z.object({
  apiVersion: z.string().default('client.authentication.k8s.io/v1'),
  command: z.string().min(1),
  args: z.array(z.string()).nullish(),
  env: z.array(z.object({ name: z.string(), value: z.string() })).nullish(),
});

/**
 * The cluster and user of a kubeconfig's current context. Relative paths are taken from the kubeconfig's
 * folder, and data goes before a file, as in client-go. What the agent cannot honour is refused rather than
 * ignored.
 *
 * @throws ApiError identityUnusable; the message never quotes the file
 */
export async function loadKubeconfig(path: string): Promise<ClusterAccess> {
  const directory = dirname(path);
  const file = await readKubeconfig(path);
  const context = file.contexts.find(({ name }) => name === file['current-context'])?.context;
  const cluster = file.clusters.find(({ name }) => name === context?.cluster)?.cluster;
  const user = file.users.find(({ name }) => name === context?.user);
  if (!cluster || !user) throw unusable(path, 'current-context names no cluster and user');
  const why = unsupported(cluster, user.user ?? {});
  if (why) throw unusable(path, why);
  return {
    cluster: clusterOf(cluster, directory),
    user: { ...userOf(user.user ?? {}, directory), ...execOf(user.user?.exec, path) },
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
    throw unusable(path, 'not a valid kubeconfig');
  }
}

type ClusterEntry = z.infer<typeof clusterEntry>;
type UserEntry = Partial<z.infer<typeof userEntry>>;

function unsupported(cluster: ClusterEntry, user: UserEntry): string | undefined {
  if (!cluster.server.startsWith('https://') || !URL.canParse(cluster.server)) {
    return 'the server is not an https URL';
  }
  if (cluster['insecure-skip-tls-verify']) {
    return 'insecure-skip-tls-verify is not supported: the agent must know who answers';
  }
  if (cluster['proxy-url']) return 'proxy-url is not supported';
  if (user['auth-provider']) return 'auth-provider is not supported, use exec';
  if (user.username) return 'username and password are not supported';
  if (user['as-uid'] || user['as-groups']?.length || user['as-user-extra']) {
    return 'of impersonation only "as" is supported';
  }
  return undefined;
}

function clusterOf(entry: ClusterEntry, directory: string): Cluster {
  const ca = pemOf(entry['certificate-authority'], entry['certificate-authority-data'], directory);
  const tlsServerName = entry['tls-server-name'];
  return { server: entry.server, ...(ca && { ca }), ...(tlsServerName && { tlsServerName }) };
}

function userOf(entry: UserEntry, directory: string): User {
  const certificate = pemOf(entry['client-certificate'], entry['client-certificate-data'], directory);
  const key = pemOf(entry['client-key'], entry['client-key-data'], directory);
  return {
    ...(certificate && { certificate }),
    ...(key && { key }),
    ...(entry.token && { token: { text: entry.token } }),
    ...(entry.tokenFile && { token: { file: resolve(directory, entry.tokenFile) } }),
    ...(entry.as && { impersonated: entry.as }),
  };
}

/**
 * A command with a path is relative to the kubeconfig, and the plugin learns who asks
 * (KUBERNETES_EXEC_INFO), as by client-go.
 */
function execOf(exec: unknown, path: string): { readonly exec?: ExecConfig } {
  if (exec === undefined || exec === null) return {};
  const config = execEntry.safeParse(exec).data;
  if (!config) throw unusable(path, 'exec names no command');
  const info = { kind: 'ExecCredential', apiVersion: config.apiVersion, spec: { interactive: false } };
  const given = (config.env ?? []).map(({ name, value }) => [name, value] as const);
  return {
    exec: {
      command: config.command.includes('/') ? resolve(dirname(path), config.command) : config.command,
      args: config.args ?? [],
      env: { ...Object.fromEntries(given), KUBERNETES_EXEC_INFO: JSON.stringify(info) },
    },
  };
}

function pemOf(
  path: string | null | undefined,
  data: string | null | undefined,
  directory: string,
): Pem | undefined {
  if (data) return { text: Buffer.from(data, 'base64') };
  return path ? { file: resolve(directory, path) } : undefined;
}

function unusable(path: string, why: string): ApiError {
  return new ApiError('identityUnusable', `kubeconfig ${path}: ${why}`);
}
