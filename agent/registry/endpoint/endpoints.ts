import { LRUCache } from 'lru-cache';
import { type ContainerdConfiguration, containerdEndpoints, hasMirrorOrLogin } from './containerd.ts';
import { hasRegistrySettings } from './containerd-own.ts';
import { type CrioConfiguration, crioEndpoints } from './crio.ts';
import type { Endpoint } from './endpoint.ts';

/** The container runtime's own configuration, which is only read. */
export type RuntimeConfiguration =
  | ({ readonly runtime: 'containerd' } & ContainerdConfiguration)
  | ({ readonly runtime: 'crio' } & CrioConfiguration);

/** Knows where registries are. */
export type Endpoints = {
  /**
   * In the order in which they are asked; at least one.
   *
   * @throws ConfigurationError when the configuration for this registry cannot be used
   */
  find(registry: string, repository: string): Promise<readonly Endpoint[]>;
  /** Whether the configuration lets this host (`host:port`) be asked over plain HTTP. Never throws. */
  allowsPlainHttp(host: string): Promise<boolean>;
  /** Hosts (`host:port`) that are the registry itself, first the one in the images' names. Never throws. */
  hosts(registry: string): Promise<readonly string[]>;
  /**
   * May the runtime have a way there of its own, by a mirror or by credentials in its configuration? True
   * wherever that is unknown; always on CRI-O, whose credentials are by namespace. Never throws.
   */
  mayHaveOwnWay(registry: string): Promise<boolean>;
};

/**
 * Reads the files again when what was read is older than this. They are few and small, so that comparing
 * their times would save little, and miss a change within the same clock tick.
 */
const FRESH_MS = 1_000;
const MAX_KEPT = 200;

export function createEndpoints(configuration: RuntimeConfiguration): Endpoints {
  const kept = new LRUCache<string, Promise<readonly Endpoint[]>>({ max: MAX_KEPT, ttl: FRESH_MS });
  const read = (registry: string, repository: string): Promise<readonly Endpoint[]> =>
    configuration.runtime === 'containerd'
      ? containerdEndpoints(configuration, registry, repository)
      : crioEndpoints(configuration, registry, repository);
  const find = (registry: string, repository: string): Promise<readonly Endpoint[]> => {
    const key = `${registry}/${repository}`;
    const known = kept.get(key);
    if (known !== undefined) return known;
    const found = read(registry, repository);
    // Whoever asked hears of it; the one that is kept must not count as forgotten.
    found.catch(() => {});
    kept.set(key, found);
    return found;
  };
  const readOwnWay = async (registry: string): Promise<boolean> => {
    if (configuration.runtime === 'crio') return true;
    const { folders } = configuration;
    return (await hasMirrorOrLogin(folders, registry)) || hasRegistrySettings(folders);
  };
  return {
    find,
    async hosts(registry) {
      const endpoints = await find(registry, 'any').catch(() => []);
      return [...new Set([registry, ...endpoints.map(({ base }) => base.host)])];
    },
    mayHaveOwnWay: (registry) => readOwnWay(registry).catch(() => true),
    async allowsPlainHttp(host) {
      try {
        const endpoints = await find(host, 'any');
        return endpoints.some(({ base }) => base.protocol === 'http:' && base.host === host);
      } catch {
        return false;
      }
    },
  };
}
