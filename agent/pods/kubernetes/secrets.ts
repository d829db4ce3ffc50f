import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { ManifestError, secretFromObject } from '../manifest.ts';
import { PodSourceError, type Secret } from '../source.ts';
import { type ApiClient, isObjectName } from './api-client.ts';
import { ApiError } from './api-error.ts';

export type SecretReader = {
  /** Undefined where there is none. Throws PodSourceError. */
  get(namespace: string, name: string, fresh: boolean): Promise<Secret | undefined>;
  /** Lets go of what is too old, and of secrets for which `named` is false. */
  sweep(named: (namespace: string, name: string) => boolean): void;
  /** How many are held. */
  size(): number;
};

export type SecretReaderOptions = {
  readonly client: ApiClient;
  /** How old a secret may be that is not asked for afresh, ms. */
  readonly maxAgeMs: number;
  readonly authorizerLagMs: number;
  /** A secret turned out to be another than the one that was held. */
  readonly onChanged: () => void;
};

const MAX_SECRETS = 1_000;

type Reading = { readonly running: Promise<Secret | undefined>; next?: Promise<Secret | undefined> };

/**
 * Secrets, one by one and only when asked for. Equal questions share an answer; who asks for a fresh one shares it only
 * with those that asked before it was sent.
 */
export function createSecretReader(options: SecretReaderOptions): SecretReader {
  const { client, maxAgeMs, authorizerLagMs, onChanged } = options;
  const held = new LRUCache<string, Secret>({ max: MAX_SECRETS, ttl: maxAgeMs });
  const readings = new Map<string, Reading>();

  async function read(key: string, namespace: string, name: string): Promise<Secret | undefined> {
    const before = held.get(key, { allowStale: true, noDeleteOnStaleGet: true });
    const secret = await readSecret(client, namespace, name, authorizerLagMs);
    if (secret) held.set(key, secret);
    else held.delete(key);
    if (before && before.resourceVersion !== secret?.resourceVersion) onChanged();
    return secret;
  }

  function begin(key: string, namespace: string, name: string): Promise<Secret | undefined> {
    const running = read(key, namespace, name).finally(() => {
      if (readings.get(key)?.running === running) readings.delete(key);
    });
    readings.set(key, { running });
    return running;
  }

  function readAfresh(key: string, namespace: string, name: string): Promise<Secret | undefined> {
    const reading = readings.get(key);
    if (!reading) return begin(key, namespace, name);
    const again = (): Promise<Secret | undefined> => begin(key, namespace, name);
    reading.next ??= reading.running.then(again, again);
    return reading.next;
  }

  return {
    async get(namespace, name, fresh) {
      if (!isObjectName(namespace) || !isObjectName(name)) return undefined;
      const key = `${namespace}/${name}`;
      if (fresh) return readAfresh(key, namespace, name);
      return held.get(key) ?? readings.get(key)?.running ?? begin(key, namespace, name);
    },
    sweep(named) {
      held.purgeStale();
      for (const { namespace, name } of [...held.values()]) {
        if (!named(namespace, name)) held.delete(`${namespace}/${name}`);
      }
    },
    size: () => held.size,
  };
}

async function readSecret(
  client: ApiClient,
  namespace: string,
  name: string,
  authorizerLagMs: number,
): Promise<Secret | undefined> {
  const path = `/api/v1/namespaces/${namespace}/secrets/${name}`;
  try {
    const object = await client.ask({ path }).catch(async (error: unknown) => {
      if (!isUnrelated(error)) throw error;
      await sleep(authorizerLagMs);
      return client.ask({ path });
    });
    return secretFromObject(object);
  } catch (error) {
    if (error instanceof ApiError && error.reason === 'notFound') return undefined;
    throw secretError(error, namespace, name);
  }
}

function secretError(error: unknown, namespace: string, name: string): unknown {
  const secret = `secret ${namespace}/${name}`;
  if (error instanceof ManifestError) {
    return new PodSourceError('secretUnreadable', `${secret}: ${error.message}`);
  }
  if (!(error instanceof ApiError)) return error;
  if (error.reason !== 'forbidden') {
    return new PodSourceError('apiServerUnavailable', `${secret}: ${error.message}`);
  }
  const user = /User "([^"]{1,256})"/.exec(error.message)?.[1];
  const grant = isUnrelated(error)
    ? 'the Node authorizer lets it read only secrets that a pod of this node names'
    : `grant it the verb get on secrets in namespace ${namespace}`;
  return new PodSourceError(
    'secretUnreadable',
    `${secret}: ${user ? `User "${user}"` : 'the agent'} may not read it: ${grant}`,
  );
}

/** What the Node authorizer says of an object that no pod of the node names, as far as it knows yet. */
export function isUnrelated(error: unknown): boolean {
  return (
    error instanceof ApiError &&
    error.reason === 'forbidden' &&
    error.message.includes('no relationship found between node')
  );
}
