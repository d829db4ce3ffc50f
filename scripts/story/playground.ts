import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { LabError } from '../lab/errors.ts';
import { ContainerNotStarted, connectKubelet } from '../lab/kubelet.ts';
import type { LabNode } from '../lab/node.ts';
import { readRecord } from '../lab/node-record.ts';
import { nodeFolderPrefix } from '../lab/places.ts';
import { isAlive } from '../lab/processes.ts';
import { pushImage } from '../lab/push.ts';
import { podOf, tenantsOf, writeManifests } from './tenants.ts';

/**
 * A node to try things on: images in its registries, tenants, and a file by which another process finds
 * them.
 */

const tenant = z.object({
  letter: z.string(),
  namespace: z.string(),
  who: z.string(),
  login: z.object({ username: z.string(), password: z.string() }).optional(),
});
const playground = z.object({
  root: z.string(),
  endpoint: z.string(),
  cgroup: z.string(),
  images: z.array(z.string()),
  registries: z.array(z.object({ host: z.string(), kind: z.enum(['htpasswd', 'anonymous', 'token']) })),
  tenants: z.array(tenant),
});

export type Playground = z.infer<typeof playground>;

const FILE = 'playground.json';

/** Where the agent finds the tenants' pods and secrets. */
export function podsDirectoryOf({ root }: Pick<Playground, 'root'>): string {
  return join(root, 'pods');
}

/** Puts images and tenants into a node that has just been started. */
export async function preparePlayground(node: LabNode): Promise<Playground> {
  const { htpasswd, anonymous, token } = node.registries;
  await pushImage(htpasswd, 'team-a/app', 'v1', { salt: 'playground-a' });
  await pushImage(token, 'team-a/app', 'v1', { salt: 'playground-token' });
  await pushImage(anonymous, 'public/app', 'v1', { salt: 'playground-public' });
  token.setGrants({ alice: ['team-a/app'] });
  const record = await readRecord(node.root);
  if (record === undefined) throw new LabError(`${node.root} has no record`);
  const made: Playground = {
    root: node.root,
    endpoint: node.endpoint,
    cgroup: record.cgroup,
    images: [
      `${htpasswd.host}/team-a/app:v1`,
      `${token.host}/team-a/app:v1`,
      `${anonymous.host}/public/app:v1`,
    ],
    registries: [htpasswd, anonymous, token].map(({ host, kind }) => ({ host, kind })),
    tenants: Object.values(tenantsOf(node)),
  };
  await mkdir(podsDirectoryOf(made));
  await writeFile(join(node.root, FILE), JSON.stringify(made), { mode: 0o600 });
  return made;
}

/**
 * Runs a pod of a tenant with an image on the node that is up. Returns what became of it, in a line.
 *
 * @throws LabError where no node runs, or there is no such tenant
 */
export async function runOnPlayground(letter: string, image: string, pullPolicy: string): Promise<string> {
  const found = await findPlayground();
  const who = found.tenants.find((one) => one.letter === letter.toUpperCase());
  if (who === undefined) {
    throw new LabError(
      `there is no tenant ${letter}; there are ${found.tenants.map((one) => one.letter).join(', ')}`,
    );
  }
  const policy = z.enum(['Always', 'IfNotPresent', 'Never']).safeParse(pullPolicy);
  if (!policy.success)
    throw new LabError(`--pull-policy is Always, IfNotPresent or Never, not ${pullPolicy}`);
  const registry = found.registries.find(({ host }) => image.startsWith(`${host}/`));
  if (registry === undefined)
    throw new LabError(`${image} is in none of the registries; try ${found.images[0]}`);
  const { letter: name, namespace, who: text, login } = who;
  const wanted = {
    tenant: { letter: name, namespace, who: text, ...(login === undefined ? {} : { login }) },
    image,
    imagePullPolicy: policy.data,
    registry,
    name: `run-${randomUUID().slice(0, 8)}`,
  };
  const pod = podOf(wanted);
  await writeManifests(podsDirectoryOf(found), wanted, pod);
  const kubelet = connectKubelet(found.endpoint, {
    cgroupParent: found.cgroup,
    logFolder: join(found.root, 'logs'),
  });
  const subject = `${namespace}/${pod.name} (${name} ${text})`;
  try {
    const started = await kubelet.runPod(pod, login);
    return `${subject}: started, container ${started.containers[0]?.id.slice(0, 12)}; the agent's log says the rest`;
  } catch (error) {
    if (error instanceof ContainerNotStarted) return `${subject}: ${error.message}`;
    throw error;
  } finally {
    kubelet.close();
  }
}

/** The newest node whose owner is alive. */
async function findPlayground(): Promise<Playground> {
  const parent = dirname(nodeFolderPrefix);
  const folders = (await readdir(parent)).filter((name) => name.startsWith(basename(nodeFolderPrefix)));
  for (const folder of folders.reverse()) {
    const record = await readRecord(join(parent, folder));
    if (record === undefined || !(await isAlive(record.owner))) continue;
    const text = await readFile(join(parent, folder, FILE), 'utf8').catch(() => undefined);
    if (text !== undefined) return playground.parse(JSON.parse(text));
  }
  throw new LabError('no node is up: start one with scripts/cri-node');
}
