import { type DockerConfigEntry, DockerConfigError, parseDockerConfig } from './docker-config.ts';
import { type Glob, globMatches, parseGlob } from './glob.ts';
import { type HostAndPath, parseSchemeless, splitPort, toByteString } from './go-url.ts';
import type { TrackedCredential } from './types.ts';

/** A pod's imagePullSecrets, ready to be asked. Must never be logged. */
export type Keyring = {
  /** In the order in which they are tried: kubelet sorts the keys downwards, so that a longer path comes first. */
  readonly entries: readonly KeyringEntry[];
  /** What stands under `index.docker.io`, for images of the default registry that no entry fits. */
  readonly defaultRegistry: readonly TrackedCredential[];
};

type KeyringEntry = { readonly pattern: Pattern; readonly credentials: readonly TrackedCredential[] };
type Pattern = { readonly labels: readonly Glob[]; readonly port: string; readonly path: string };

/** What a keyring reads of a Secret; `data` is decoded from base64. */
export type KeyringSecret = {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly type: string;
  readonly data: ReadonlyMap<string, Buffer>;
};

const DEFAULT_REGISTRY = 'index.docker.io';
/** No longer name can be resolved (RFC 1035), and it bounds what a look-up costs. */
const MAX_HOST = 255;

/**
 * Kubelet's keyring of a pod's secrets, in the pod's order (pkg/credentialprovider: secrets.go, MakeDockerKeyring;
 * keyring.go, BasicDockerKeyring.Add). One malformed docker config fails it all; a malformed key is passed over.
 * Where two keys of one secret mean the same (`reg.io` and `https://reg.io/v2/`), kubelet's order is chance, ours
 * the secret's.
 *
 * @throws DockerConfigError naming the secret
 */
export function makeKeyring(secrets: readonly KeyringSecret[]): Keyring {
  const byKey = new Map<string, TrackedCredential[]>();
  for (const { namespace, name, uid, type, data } of secrets) {
    for (const { registry, credential, credentialHash } of entriesOf({ namespace, name, type, data })) {
      const key = keyOf(registry);
      if (key === undefined) continue;
      const credentials = byKey.get(key) ?? [];
      byKey.set(key, credentials);
      credentials.push({ credential, secret: { namespace, name, uid }, credentialHash });
    }
  }
  const entries: KeyringEntry[] = [];
  for (const [key, credentials] of [...byKey].sort(([a], [b]) => (a < b ? 1 : -1))) {
    const pattern = patternOf(key);
    if (pattern) entries.push({ pattern, credentials });
  }
  return { entries, defaultRegistry: byKey.get(DEFAULT_REGISTRY) ?? [] };
}

/**
 * What kubelet would try for a normalized repository (`docker.io/library/busybox`), in this order and with its
 * repetitions (keyring.go, Lookup). Empty where nothing fits: then the pull is anonymous.
 */
export function lookup(keyring: Keyring, repository: string): readonly TrackedCredential[] {
  const target = parseSchemeless(toByteString(repository));
  const found = target && target.host.length <= MAX_HOST ? findMatching(keyring.entries, target) : [];
  return found.length === 0 && isOfDefaultRegistry(repository) ? keyring.defaultRegistry : found;
}

/** The credentialHash of everything in a keyring that could ever be tried. As secret as lookup's answers. */
export function credentialHashes(keyring: Keyring): readonly string[] {
  const credentials = [...keyring.entries.flatMap((entry) => entry.credentials), ...keyring.defaultRegistry];
  return [...new Set(credentials.map(({ credentialHash }) => credentialHash))];
}

function entriesOf(secret: Omit<KeyringSecret, 'uid'>): readonly DockerConfigEntry[] {
  try {
    return parseDockerConfig(secret);
  } catch (error) {
    if (!(error instanceof DockerConfigError)) throw error;
    throw new DockerConfigError(error.reason, `secret ${secret.namespace}/${secret.name}: ${error.message}`);
  }
}

/** A config's key without scheme, as a byte string; undefined for one that is no URL. `/v1/` and `/v2/` mean the host. */
function keyOf(registry: string): string | undefined {
  const url = parseSchemeless(toByteString(registry).replace(/^https?:\/\//, ''));
  if (url === undefined) return undefined;
  const path = /^\/v[12]\//.test(url.path) ? url.path.slice('/v1'.length) : url.path;
  return path === '/' ? url.host : url.host + path;
}

/** Kubelet parses the key once more when it compares: what was `%3F` is the start of a query now. */
function patternOf(key: string): Pattern | undefined {
  const url = parseSchemeless(key);
  if (url === undefined) return undefined;
  const { name, port } = splitPort(url.host);
  const labels: Glob[] = [];
  for (const label of name.split('.')) {
    const glob = parseGlob(label);
    if (glob === undefined) return undefined;
    labels.push(glob);
  }
  return { labels, port, path: url.path };
}

/** URLsMatch: the same port, as many labels, a path that begins alike, and every label by its pattern. */
function findMatching(entries: readonly KeyringEntry[], target: HostAndPath): readonly TrackedCredential[] {
  const { name, port } = splitPort(target.host);
  const labels = name.split('.');
  const found: TrackedCredential[] = [];
  for (const { pattern, credentials } of entries) {
    const matches =
      pattern.port === port &&
      pattern.labels.length === labels.length &&
      target.path.startsWith(pattern.path) &&
      pattern.labels.every((glob, n) => globMatches(glob, labels[n] ?? ''));
    if (matches) for (const credential of credentials) found.push(credential);
  }
  return found;
}

/**
 * isDefaultRegistryMatch, without `index.docker.io/app`, which an entry under index.docker.io fits by itself. It takes
 * `localhost/app` for the default registry's too.
 */
function isOfDefaultRegistry(repository: string): boolean {
  const slash = repository.indexOf('/');
  const first = slash === -1 ? repository : repository.slice(0, slash);
  if (first === '') return false;
  return slash === -1 || first === 'docker.io' || !/[.:]/.test(first);
}
