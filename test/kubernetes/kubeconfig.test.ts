import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadClusterAccess } from '../../agent/kubernetes/load-cluster-access.ts';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pullwarden-kubeconfig-'));
  path = join(folder, 'kubelet.conf');
});

afterEach(() => rm(folder, { recursive: true, force: true }));

const kubeconfig = (cluster: object, user: object): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name: 'other', cluster: { server: 'https://other.example.com' } },
      { name: 'ours', cluster },
    ],
    users: [
      { name: 'somebody', user: { token: 'not-this-one' } },
      { name: 'node', user },
    ],
    contexts: [
      { name: 'elsewhere', context: { cluster: 'other', user: 'somebody' } },
      { name: 'here', context: { cluster: 'ours', user: 'node' } },
    ],
    'current-context': 'here',
  });

const api = { server: 'https://api.example.com:6443' };

async function load(text: string) {
  await writeFile(path, text);
  return loadClusterAccess({ kubeconfig: path, environment: {} });
}

describe('a kubeconfig', () => {
  it('as kubeadm writes it for kubelet: the current context, files by their absolute path', async () => {
    const { cluster, user } = await load(`
apiVersion: v1
kind: Config
preferences: {}
clusters:
- cluster: { certificate-authority: pki/ca.crt, server: "https://10.0.0.1:6443" }
  name: kubernetes
contexts:
- context: { cluster: kubernetes, namespace: default, user: "system:node:lab" }
  name: "system:node:lab@kubernetes"
current-context: "system:node:lab@kubernetes"
users:
- name: "system:node:lab"
  user:
    client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem
    client-key: pki/kubelet.key
`);
    expect(cluster).toEqual({ server: 'https://10.0.0.1:6443', ca: { file: join(folder, 'pki/ca.crt') } });
    expect(user).toEqual({
      certificate: { file: '/var/lib/kubelet/pki/kubelet-client-current.pem' },
      key: { file: join(folder, 'pki/kubelet.key') },
    });
  });

  it('with a token file', async () => {
    const { user } = await load(kubeconfig(api, { tokenFile: 'run/token' }));
    expect(user).toEqual({ token: { file: join(folder, 'run/token') } });
  });

  it('with a token file beside a token: the file counts, as it rotates', async () => {
    const { user } = await load(kubeconfig(api, { token: 'old', tokenFile: '/run/token' }));
    expect(user).toEqual({ token: { file: '/run/token' } });
  });

  it('with data beside files: the data counts', async () => {
    const pem = (name: string) => Buffer.from(`pem of ${name}`);
    const { cluster, user } = await load(
      kubeconfig(
        {
          ...api,
          'certificate-authority': '/pki/ca.crt',
          'certificate-authority-data': pem('ca').toString('base64'),
          'tls-server-name': 'kubernetes',
        },
        {
          'client-certificate': '/pki/node.crt',
          'client-certificate-data': pem('node').toString('base64'),
          'client-key': '/pki/node.key',
          'client-key-data': pem('key').toString('base64'),
          as: 'system:node:lab',
        },
      ),
    );
    expect(cluster).toEqual({ ...api, ca: { text: pem('ca') }, tlsServerName: 'kubernetes' });
    expect(user).toEqual({
      certificate: { text: pem('node') },
      key: { text: pem('key') },
      impersonated: 'system:node:lab',
    });
  });

  it('with an exec plugin: relative to the file where it has a path, told that there is nobody to ask', async () => {
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1beta1',
      command: './bin/plugin',
      args: ['get-token'],
      env: [{ name: 'REGION', value: 'here' }],
      installHint: 'is not looked at',
    };
    const access = await load(kubeconfig(api, { exec }));
    expect(access.user.exec).toMatchObject({ command: join(folder, 'bin/plugin'), args: ['get-token'] });
    const { KUBERNETES_EXEC_INFO, ...env } = access.user.exec?.env ?? {};
    expect(env).toEqual({ REGION: 'here' });
    expect(JSON.parse(KUBERNETES_EXEC_INFO ?? '')).toEqual({
      kind: 'ExecCredential',
      apiVersion: 'client.authentication.k8s.io/v1beta1',
      spec: { interactive: false },
    });
    const onPath = await load(kubeconfig(api, { exec: { command: 'aws' } }));
    expect(onPath.user.exec?.command).toBe('aws');
  });

  it.each([
    ['is empty', '', 'not a valid kubeconfig'],
    ['is no YAML', '{[hunter2', 'not a valid kubeconfig'],
    ['is something else', 'password: hunter2', 'not a valid kubeconfig'],
    ['has a cluster without a server', kubeconfig({}, { token: 'hunter2' }), 'not a valid kubeconfig'],
    ['has a token that is no text', kubeconfig(api, { token: { hunter2: 1 } }), 'not a valid kubeconfig'],
    [
      'has a context that is no object',
      `${kubeconfig(api, {}).slice(0, -1)},"contexts":[null]}`,
      'not a valid kubeconfig',
    ],
    ['has no such context', kubeconfig(api, {}).replace('"here"}', '"gone"}'), 'names no cluster and user'],
    [
      'has no such user',
      kubeconfig(api, {}).replace('"user":"node"', '"user":"gone"'),
      'names no cluster and user',
    ],
    ['is not for TLS', kubeconfig({ server: 'http://api.example.com' }, {}), 'not an https URL'],
    ['is for no host', kubeconfig({ server: 'https://' }, {}), 'not an https URL'],
    [
      'would trust anyone',
      kubeconfig({ ...api, 'insecure-skip-tls-verify': true }, {}),
      'must know who answers',
    ],
    ['is for a proxy', kubeconfig({ ...api, 'proxy-url': 'http://proxy' }, {}), 'proxy-url'],
    [
      'is for a password',
      kubeconfig(api, { username: 'admin', password: 'hunter2' }),
      'username and password',
    ],
    ['impersonates groups', kubeconfig(api, { as: 'a', 'as-groups': ['hunter2'] }), 'only "as"'],
    ['is for a plugin of old', kubeconfig(api, { 'auth-provider': { name: 'gcp' } }), 'auth-provider'],
    [
      'has an exec without a command',
      kubeconfig(api, { exec: { args: ['hunter2'] } }),
      'exec names no command',
    ],
    ['is larger than any', `a: ${'hunter2'.repeat(200_000)}`, 'not a valid kubeconfig'],
  ])('that %s is refused with its path and why, and without its content', async (_, text, why) => {
    const error = await load(text).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'ApiError', reason: 'identityUnusable' });
    expect(String(error)).toContain(path);
    expect(String(error)).toContain(why);
    expect(inspect(error, { depth: 9 })).not.toContain('hunter2');
  });

  it('that is not there', async () => {
    await expect(loadClusterAccess({ kubeconfig: path, environment: {} })).rejects.toMatchObject({
      reason: 'identityUnusable',
      message: `kubeconfig ${path}: ENOENT`,
    });
  });

  it('that is not named is found where kubectl finds it', async () => {
    await writeFile(path, kubeconfig(api, {}));
    const byVariable = await loadClusterAccess({ environment: { KUBECONFIG: `:${path}:/elsewhere` } });
    expect(byVariable.cluster.server).toBe(api.server);
    await expect(loadClusterAccess({ environment: { HOME: folder } })).rejects.toMatchObject({
      message: `kubeconfig ${join(folder, '.kube/config')}: ENOENT`,
    });
  });
});

describe('a pod of the cluster', () => {
  it('finds the API server in its environment and who it is in the files that are mounted', async () => {
    const environment = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' };
    const { cluster, user } = await loadClusterAccess({ environment, serviceAccountDirectory: folder });
    expect(cluster).toEqual({ server: 'https://[fd00::1]:6443', ca: { file: join(folder, 'ca.crt') } });
    expect(user).toEqual({ token: { file: join(folder, 'token') } });
  });

  it('goes by a kubeconfig where it is given one', async () => {
    await writeFile(path, kubeconfig(api, {}));
    const environment = { KUBERNETES_SERVICE_HOST: '10.96.0.1' };
    const { cluster } = await loadClusterAccess({ kubeconfig: path, environment });
    expect(cluster.server).toBe(api.server);
  });
});
