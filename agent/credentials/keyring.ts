import { DockerConfigError } from '../errors.ts';
import {
  type DockerConfigEntry,
  newReadingLimit,
  parseDockerConfig,
  type ReadingLimit,
} from './docker-config.ts';
import { globMatches, parseGlob } from './glob.ts';
import { type HostAndPath, parseSchemeless, splitPort, toByteString } from './go-url.ts';
import type { CredentialSource, SourcedCredential, TrackedCredential } from './types.ts';

/**
 * A group of credentials, ready to be asked: a pod's imagePullSecrets, the node's docker config file, or the
 * answers of all plugins. Kubelet orders keys within a group only, and asks one group after the other. Must
 * never be logged.
 */
export type Keyring<Offered = TrackedCredential> = {
  /**
   * In the order in which they are tried: kubelet sorts the keys downwards, so that a longer path comes
   * first.
   */
  readonly entries: readonly KeyringEntry<Offered>[];
  /** What stands under `index.docker.io`, for images of the default registry that no entry fits. */
  readonly defaultRegistry: readonly Offered[];
};

type KeyringEntry<Offered> = { readonly pattern: Pattern; readonly credentials: readonly Offered[] };
/**
 * Labels stay text: their parsed form takes up to forty times as much memory and is needed for a moment
 * only.
 */
type Pattern = { readonly labels: readonly string[]; readonly port: string; readonly path: string };

/** What a keyring reads of a Secret; `data` is decoded from base64. */
export type KeyringSecret = {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly type: string;
  readonly data: ReadonlyMap<string, Buffer>;
};

const DEFAULT_REGISTRY = 'index.docker.io';
/** No longer name can be resolved (RFC 1035), and it bounds what a look-up costs; for patterns it is ours. */
const MAX_HOST = 255;

/**
 * Kubelet's keyring of a pod's secrets, in the pod's order (pkg/credentialprovider: secrets.go,
 * MakeDockerKeyring; keyring.go, BasicDockerKeyring.Add). One malformed docker config fails it all; a
 * malformed key is passed over. Where two keys of one secret mean the same (`reg.io` and
 * `https://reg.io/v2/`), kubelet's order is chance, ours the secret's.
 *
 * @throws DockerConfigError naming the secret
 */
export function makeKeyring(secrets: readonly KeyringSecret[]): Keyring {
  const limit = newReadingLimit();
  return keyringOf(secrets.map((secret) => readSecret(secret, limit)));
}

/** A secret whose docker config has been read. Must never be logged. */
type ReadSecret = {
  readonly secret: TrackedCredential['secret'];
  readonly entries: readonly DockerConfigEntry[];
};

/** @throws DockerConfigError naming the secret */
function readSecret({ namespace, name, uid, type, data }: KeyringSecret, limit: ReadingLimit): ReadSecret {
  try {
    return { secret: { namespace, name, uid }, entries: parseDockerConfig({ type, data }, limit) };
  } catch (error) {
    if (!(error instanceof DockerConfigError)) throw error;
    throw new DockerConfigError(error.reason, `secret ${namespace}/${name}: ${error.message}`);
  }
}

function keyringOf(secrets: readonly ReadSecret[]): Keyring {
  return group(secrets, ({ secret }, { credential, credentialHash }) => ({
    credential,
    secret,
    credentialHash,
  }));
}

/** A docker config, or what means the same, and where it comes from. Must never be logged. */
export type SourcedConfig = {
  readonly source: CredentialSource;
  readonly entries: readonly DockerConfigEntry[];
};

/** One group of any source; of two configs the order decides only between credentials under the same key. */
export function sourcedKeyring(configs: readonly SourcedConfig[]): Keyring<SourcedCredential> {
  return group(configs, ({ source }, { credential, credentialHash }) => ({
    credential,
    source,
    credentialHash,
  }));
}

function group<Config extends { readonly entries: readonly DockerConfigEntry[] }, Offered>(
  configs: readonly Config[],
  offer: (config: Config, entry: DockerConfigEntry) => Offered,
): Keyring<Offered> {
  const byKey = new Map<string, Offered[]>();
  for (const config of configs) {
    for (const entry of config.entries) {
      const key = keyOf(entry.registry);
      if (key === undefined) continue;
      const credentials = byKey.get(key) ?? [];
      byKey.set(key, credentials);
      credentials.push(offer(config, entry));
    }
  }
  const entries: KeyringEntry<Offered>[] = [];
  for (const [key, credentials] of [...byKey].sort(([a], [b]) => (a < b ? 1 : -1))) {
    const pattern = patternOf(key);
    if (pattern) entries.push({ pattern, credentials });
  }
  return { entries, defaultRegistry: byKey.get(DEFAULT_REGISTRY) ?? [] };
}

/**
 * What kubelet would try for a normalized repository (`docker.io/library/busybox`), in this order and with
 * its repetitions (keyring.go, Lookup). Empty where nothing fits: then the pull is anonymous.
 */
export function lookup<Offered>(keyring: Keyring<Offered>, repository: string): readonly Offered[] {
  const target = parseSchemeless(toByteString(repository));
  const found = target && target.host.length <= MAX_HOST ? findMatching(keyring.entries, target) : [];
  return found.length === 0 && isOfDefaultRegistry(repository) ? keyring.defaultRegistry : found;
}

/**
 * Does a key without scheme fit a normalized repository (keyring.go, URLsMatchStr)? A malformed one fits
 * nothing.
 */
export function keyMatches(key: string, repository: string): boolean {
  const pattern = patternOf(toByteString(key));
  const target = parseSchemeless(toByteString(repository));
  return pattern !== undefined && target !== undefined && fits(pattern, target);
}

/** The credentialHash of everything in a keyring that could ever be tried. As secret as lookup's answers. */
export function credentialHashes(keyring: Keyring): readonly string[] {
  const credentials = [...keyring.entries.flatMap((entry) => entry.credentials), ...keyring.defaultRegistry];
  return [...new Set(credentials.map(({ credentialHash }) => credentialHash))];
}

/**
 * A config's key without scheme, as a byte string; undefined for one that is no URL. `/v1/` and `/v2/` mean
 * the host.
 */
function keyOf(registry: string): string | undefined {
  const url = parseSchemeless(toByteString(registry).replace(/^https?:\/\//, ''));
  if (url === undefined) return undefined;
  const path = /^\/v[12]\//.test(url.path) ? url.path.slice('/v1'.length) : url.path;
  return path === '/' ? url.host : url.host + path;
}

/** Kubelet parses the key once more when it compares: what was `%3F` is the start of a query now. */
function patternOf(key: string): Pattern | undefined {
  const url = parseSchemeless(key);
  if (url === undefined || url.host.length > MAX_HOST) return undefined;
  const { name, port } = splitPort(url.host);
  const labels = name.split('.');
  return labels.every((label) => parseGlob(label)) ? { labels, port, path: url.path } : undefined;
}

function findMatching<Offered>(
  entries: readonly KeyringEntry<Offered>[],
  target: HostAndPath,
): readonly Offered[] {
  const split = splitTarget(target);
  const found: Offered[] = [];
  for (const { pattern, credentials } of entries) {
    if (fitsSplit(pattern, split)) for (const credential of credentials) found.push(credential);
  }
  return found;
}

function fits(pattern: Pattern, target: HostAndPath): boolean {
  return target.host.length <= MAX_HOST && fitsSplit(pattern, splitTarget(target));
}

function splitTarget({ host, path }: HostAndPath): Pattern {
  const { name, port } = splitPort(host);
  return { labels: name.split('.'), port, path };
}

/** URLsMatch: the same port, as many labels, a path that begins alike, and every label by its pattern. */
function fitsSplit(pattern: Pattern, target: Pattern): boolean {
  return (
    pattern.port === target.port &&
    pattern.labels.length === target.labels.length &&
    target.path.startsWith(pattern.path) &&
    pattern.labels.every((label, n) => labelMatches(label, target.labels[n] ?? ''))
  );
}

function labelMatches(pattern: string, label: string): boolean {
  if (!/[*?[\\]/.test(pattern)) return pattern === label;
  const glob = parseGlob(pattern);
  return glob !== undefined && globMatches(glob, label);
}

/**
 * isDefaultRegistryMatch, without `index.docker.io/app`, which an entry under index.docker.io fits by itself.
 * It takes `localhost/app` for the default registry's too.
 */
function isOfDefaultRegistry(repository: string): boolean {
  const slash = repository.indexOf('/');
  const first = slash === -1 ? repository : repository.slice(0, slash);
  if (first === '') return false;
  return slash === -1 || first === 'docker.io' || !/[.:]/.test(first);
}
