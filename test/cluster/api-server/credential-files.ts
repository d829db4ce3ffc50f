import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Authority } from './certificates.ts';
import type { Users } from './users.ts';

/** How a kubeconfig says who its user is. */
export type KubeconfigUser =
  /** Client certificate and key in files, as kubelet's. */
  | { readonly by: 'certificateFiles' }
  /** Client certificate and key within. */
  | { readonly by: 'certificateData' }
  | { readonly by: 'token' }
  | { readonly by: 'tokenFile' }
  | { readonly by: 'exec'; readonly command: string; readonly args?: readonly string[] };

export type Kubeconfig = {
  readonly path: string;
  /** With certificateFiles; a rotation replaces their content. */
  readonly certificateFile: string;
  readonly keyFile: string;
  /** With tokenFile. */
  readonly tokenFile: string;
  /** The token in it, or the one that an exec plugin is to print. */
  readonly token: string;
  /** Puts a new certificate, or a new token, in place of the one there is, which stays valid. */
  rotate(): Promise<void>;
};

type Place = { readonly folder: string; readonly authority: Authority; readonly users: Users };

/** Writes a kubeconfig for this user, for the server at `url`. */
export async function writeKubeconfig(
  { folder, authority, users }: Place,
  url: string,
  user: string,
  method: KubeconfigUser,
): Promise<Kubeconfig> {
  const stem = join(folder, `kubeconfig-${Math.random().toString(36).slice(2)}`);
  const [path, certificateFile, keyFile] = [`${stem}.conf`, `${stem}.crt`, `${stem}.key`];
  const tokenFile = `${stem}.token`;
  const groups = user.startsWith('system:node:') ? ['system:nodes'] : [];
  const token = users.issueToken(user);

  async function certify(): Promise<{ certificate: string; key: string }> {
    const issued = await authority.issue({ user, groups });
    await replace(certificateFile, issued.certificate);
    await replace(keyFile, issued.key);
    return issued;
  }

  async function credentials(): Promise<object> {
    switch (method.by) {
      case 'certificateFiles':
        await certify();
        return { 'client-certificate': certificateFile, 'client-key': keyFile };
      case 'certificateData': {
        const { certificate, key } = await certify();
        return { 'client-certificate-data': base64(certificate), 'client-key-data': base64(key) };
      }
      case 'token':
        return { token };
      case 'tokenFile':
        await replace(tokenFile, `${token}\n`);
        return { tokenFile };
      case 'exec': {
        const apiVersion = 'client.authentication.k8s.io/v1';
        const args = method.args ?? [];
        return { exec: { apiVersion, command: method.command, args, interactiveMode: 'Never' } };
      }
    }
  }

  const file = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server: url, 'certificate-authority': authority.caFile } }],
    users: [{ name: user, user: await credentials() }],
    contexts: [{ name: 'test', context: { cluster: 'test', user } }],
    'current-context': 'test',
  };
  await replace(path, JSON.stringify(file, null, 2));
  return {
    path,
    certificateFile,
    keyFile,
    tokenFile,
    token,
    async rotate() {
      if (method.by === 'certificateFiles') await certify();
      else await replace(tokenFile, `${users.issueToken(user)}\n`);
    },
  };
}

export type ServiceAccountFiles = {
  /** Holds `token` and `ca.crt`, as the folder that is mounted into a pod. */
  readonly directory: string;
  /** KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT. */
  readonly environment: Readonly<Record<string, string>>;
  readonly token: string;
  /** Puts a new token in place; returns it. The one before stays valid until it is revoked. */
  rotate(): Promise<string>;
};

/** Writes what a pod of this ServiceAccount finds; the user is `system:serviceaccount:NAMESPACE:NAME`. */
export async function writeServiceAccountFiles(
  { folder, authority, users }: Place,
  url: string,
  user: string,
): Promise<ServiceAccountFiles> {
  const directory = join(folder, `serviceaccount-${Math.random().toString(36).slice(2)}`);
  await mkdir(directory);
  await writeFile(join(directory, 'ca.crt'), authority.ca);
  const { hostname, port } = new URL(url);
  async function rotate(): Promise<string> {
    const token = users.issueToken(user);
    await replace(join(directory, 'token'), token);
    return token;
  }
  return {
    directory,
    environment: { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port },
    token: await rotate(),
    rotate,
  };
}

/** At once, as kubelet does: nobody reads half a file. */
async function replace(path: string, content: string): Promise<void> {
  await writeFile(`${path}.new`, content, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
