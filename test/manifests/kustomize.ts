import { readdir } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { runCommand } from '../../scripts/lab/command.ts';
import { unpackedPackage } from '../../scripts/lab/packages.ts';

export const repository = fileURLToPath(new URL('../../', import.meta.url));

/** What every object of Kubernetes has; `is` of kubernetes-models tells kinds apart. */
export type KubernetesObject = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata?: { readonly name?: string; readonly namespace?: string };
};

/** The overlays for the clouds: on the node's network, with its credential providers. */
export const NODE_CREDENTIALS = ['overlays/eks', 'overlays/gke', 'overlays/aks'] as const;

/** Folders below manifests/ that are to be applied as they are. */
export const APPLIED = [
  'base',
  'overlays/enforce',
  'overlays/kind',
  'overlays/node-identity',
  'overlays/service-account',
  'overlays/service-account-namespaced',
  ...NODE_CREDENTIALS,
  'monitoring',
  'removal',
] as const;

export type Applied = (typeof APPLIED)[number];

/**
 * Those of them that are an installation of the agent and share nothing more with the node than it always
 * does.
 */
export const INSTALLATIONS = APPLIED.filter(
  (folder) =>
    folder !== 'monitoring' && folder !== 'removal' && !NODE_CREDENTIALS.some((other) => other === folder),
);

const built = new Map<string, Promise<KubernetesObject[]>>();

/**
 * What kustomize itself (Debian's package, never installed) makes of a folder below manifests/, once a test
 * file.
 */
export function build(folder: Applied): Promise<KubernetesObject[]> {
  const objects = built.get(folder) ?? buildAnew(folder);
  built.set(folder, objects);
  return objects;
}

/** The same of any folder, as it is now. */
export async function buildAnew(folder: string): Promise<KubernetesObject[]> {
  const documents = parseAllDocuments(await kustomize('build', resolve(repository, 'manifests', folder)));
  return documents.map((document) => {
    const object: unknown = document.toJS();
    if (!isObject(object)) throw new TypeError(`kustomize wrote something that is no object: ${document}`);
    return object;
  });
}

/** The path from a folder to one below manifests/, as a kustomization there has to name it. */
export function pathFrom(folder: string, manifest: string): string {
  return relative(folder, join(repository, 'manifests', manifest));
}

/** Every folder below manifests/ that has a kustomization. */
export async function kustomizations(): Promise<string[]> {
  const root = join(repository, 'manifests');
  const files = await readdir(root, { recursive: true });
  return files.filter((file) => file.endsWith('kustomization.yaml')).map(dirname);
}

async function kustomize(...args: string[]): Promise<string> {
  const { root } = await unpackedPackage('kustomize', ['trixie', 'forky', 'sid'], /^5\./);
  return runCommand(join(root, 'usr/bin/kustomize'), args);
}

/** The schemas look at the rest. */
function isObject(value: unknown): value is KubernetesObject {
  if (typeof value !== 'object' || value === null) return false;
  return 'apiVersion' in value && 'kind' in value && 'metadata' in value;
}
