import { type DockerConfigEntry, DockerConfigError, dockerConfigEntries } from './docker-config.ts';
import { globMatches } from './glob.ts';
import { type HostAndPath, parseSchemeless, splitPort } from './go-url.ts';
import type { TrackedCredential } from './types.ts';

/** A pod's imagePullSecrets, ready to be asked: what stands under which key, the most specific key first. */
export type Keyring = {
  readonly entries: readonly KeyringEntry[];
  /** What stands under `index.docker.io`, for images of the default registry that nothing else fits. */
  readonly defaultRegistry: readonly TrackedCredential[];
};

type KeyringEntry = {
  readonly pattern: Pattern | undefined;
  readonly credentials: readonly TrackedCredential[];
};
type Pattern = { readonly labels: readonly string[]; readonly port: string; readonly path: string };

/** What a keyring reads of a Secret; `data` is decoded. */
export type KeyringSecret = {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly type: string;
  readonly data: ReadonlyMap<string, Buffer>;
};

const DEFAULT_REGISTRY = 'index.docker.io';

/**
 * Kubelet's keyring of a pod's secrets, in the pod's order (pkg/credentialprovider keyring.go, BasicDockerKeyring;
 * secrets.go, MakeDockerKeyring). One malformed docker config fails it all; a malformed key is passed over.
 *
 * @throws DockerConfigError naming the secret
 */
export function makeKeyring(secrets: readonly KeyringSecret[]): Keyring {
  const byKey = new Map<string, TrackedCredential[]>();
  for (const { namespace, name, uid, ...secret } of secrets) {
    for (const { registry, credential, credentialHash } of entriesOf({ namespace, name, ...secret })) {
      const key = keyOf(registry);
      if (key === undefined) continue;
      const credentials = byKey.get(key) ?? [];
      byKey.set(key, credentials);
      credentials.push({ credential, secret: { namespace, name, uid }, credentialHash });
    }
  }
  const keys = [...byKey.keys()].sort((a, b) => Buffer.compare(Buffer.from(b), Buffer.from(a)));
  return {
    entries: keys.map((key) => ({
      pattern: patternOf(parseSchemeless(key)),
      credentials: byKey.get(key) ?? [],
    })),
    defaultRegistry: byKey.get(DEFAULT_REGISTRY) ?? [],
  };
}

/** What kubelet would try for a normalized repository (`docker.io/library/busybox`), in this order. */
export function lookup(keyring: Keyring, repository: string): readonly TrackedCredential[] {
  const target = patternOf(parseSchemeless(repository));
  if (target === undefined) return [];
  const found = keyring.entries.flatMap(({ pattern, credentials }) =>
    pattern && patternMatches(pattern, target) ? credentials : [],
  );
  return found.length === 0 && isOfDefaultRegistry(repository) ? keyring.defaultRegistry : found;
}

function entriesOf(secret: Omit<KeyringSecret, 'uid'>): DockerConfigEntry[] {
  try {
    return dockerConfigEntries(secret);
  } catch (error) {
    if (!(error instanceof DockerConfigError)) throw error;
    throw new DockerConfigError(error.reason, `secret ${secret.namespace}/${secret.name}: ${error.message}`);
  }
}

/** Docker takes `host/v1/` and `host/v2/` for the host itself. */
function keyOf(registry: string): string | undefined {
  const url = parseSchemeless(registry.replace(/^https?:\/\//, ''));
  if (url === undefined) return undefined;
  const path = /^\/v[12]\//.test(url.path) ? url.path.slice(3) : url.path;
  return path === '/' ? url.host : url.host + path;
}

function patternOf(url: HostAndPath | undefined): Pattern | undefined {
  if (url === undefined) return undefined;
  const { name, port } = splitPort(url.host);
  return { labels: name.split('.'), port, path: url.path };
}

/** URLsMatch: equal ports, as many labels, a path that begins alike, and every label by its pattern. */
function patternMatches(pattern: Pattern, target: Pattern): boolean {
  return (
    pattern.port === target.port &&
    pattern.labels.length === target.labels.length &&
    target.path.startsWith(pattern.path) &&
    pattern.labels.every((label, n) => globMatches(label, target.labels[n] ?? ''))
  );
}

/** IsDefaultRegistryMatch. */
function isOfDefaultRegistry(repository: string): boolean {
  const slash = repository.indexOf('/');
  const first = slash === -1 ? repository : repository.slice(0, slash);
  if (first === '') return false;
  return slash === -1 || first === 'docker.io' || first === DEFAULT_REGISTRY || !/[.:]/.test(first);
}
