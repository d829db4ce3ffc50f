import { randomUUID } from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LabNode } from '../lab/node.ts';
import type { PodSpec } from '../lab/pod.ts';
import type { Registry } from '../lab/registry.ts';

/** Who lives on the node of the story. A tenant without `login` has no secret. */
export type Tenant = {
  readonly letter: string;
  readonly namespace: string;
  /** Said of it in the story. */
  readonly who: string;
  readonly login?: { readonly username: string; readonly password: string };
};

export type Tenants = Record<'a' | 'b' | 'c' | 'd' | 'e', Tenant>;

/** The users' passwords are made anew for each node. */
export function tenantsOf({ registries }: LabNode): Tenants {
  const password = (user: string): string => registries.htpasswd.users[user] ?? '';
  return {
    a: {
      letter: 'A',
      namespace: 'team-a',
      who: 'owns the image and has a secret for it',
      login: { username: 'alice', password: password('alice') },
    },
    b: { letter: 'B', namespace: 'team-b', who: 'has no secret' },
    c: {
      letter: 'C',
      namespace: 'team-c',
      who: 'has a secret with a wrong password',
      login: { username: 'alice', password: `not-${randomUUID()}` },
    },
    d: {
      letter: 'D',
      namespace: 'team-d',
      who: 'has another secret, which is good as well',
      login: { username: 'dave', password: password('dave') },
    },
    e: {
      letter: 'E',
      namespace: 'team-e',
      who: 'is known to the registry, but without the right to this repository',
      login: { username: 'bob', password: registries.token.users.bob ?? '' },
    },
  };
}

export type Wanted = {
  readonly tenant: Tenant;
  readonly image: string;
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  /** What the tenant's secret is for; its host stands in the docker config. */
  readonly registry: Registry;
  readonly name: string;
  readonly command?: string[];
};

/** The same, of a registry that another process started. */
type WantedAnywhere = Omit<Wanted, 'registry'> & { readonly registry: Pick<Registry, 'host' | 'kind'> };

const SECRET = 'pull-secret';

/** The pod of a tenant as kubelet's stand-in runs it. */
export function podOf({ tenant, image, imagePullPolicy, name, command }: WantedAnywhere): PodSpec {
  const container = { name: 'app', image, imagePullPolicy, ...(command ? { command } : {}) };
  return { namespace: tenant.namespace, name, uid: randomUUID(), containers: [container] };
}

/**
 * Puts the pod and its tenant's secret where the agent's directory pod source finds them, whole or not at
 * all.
 */
export async function writeManifests(directory: string, wanted: WantedAnywhere, pod: PodSpec): Promise<void> {
  const { tenant, registry } = wanted;
  const secretUid = `${tenant.namespace}-${registry.kind}`;
  const secretName = `${SECRET}-${registry.kind}`;
  const manifest = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: pod.namespace, name: pod.name, uid: pod.uid },
    spec: { imagePullSecrets: tenant.login ? [{ name: secretName }] : [], containers: pod.containers },
  };
  if (tenant.login) {
    const config = { auths: { [registry.host]: tenant.login } };
    await put(directory, `${tenant.namespace}.${secretName}.json`, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { namespace: tenant.namespace, name: secretName, uid: secretUid },
      type: 'kubernetes.io/dockerconfigjson',
      data: { '.dockerconfigjson': Buffer.from(JSON.stringify(config)).toString('base64') },
    });
  }
  await put(directory, `${pod.namespace}.${pod.name}.json`, manifest);
}

async function put(directory: string, name: string, object: object): Promise<void> {
  const temporary = join(directory, `.${name}.${randomUUID()}`);
  await writeFile(temporary, JSON.stringify(object));
  await rename(temporary, join(directory, name));
}
