import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { ApiError, ManifestError, PodSourceError } from '../../errors.ts';
import { type ApiClient, isObjectName } from '../../kubernetes/api-client.ts';
import { secretFromObject } from '../manifest.ts';
import type { Secret } from '../pod-source.ts';

export type SecretReader = {
  /**
   * Undefined where there is none. While the API server is away, what was last read of a secret that a pod of the node
   * names still counts, as it does for kubelet, unless it is asked for afresh. Throws PodSourceError.
   */
  get(namespace: string, name: string, fresh: boolean): Promise<Secret | undefined>;
  /** Lets go of secrets for which `named` is false. */
  sweep(named: (namespace: string, name: string) => boolean): void;
  /** How many are held. */
  size(): number;
};

export type SecretReaderOptions = {
  readonly client: ApiClient;
  /** How old a secret may be that is not asked for afresh, ms. */
  readonly maxAgeMs: number;
  readonly authorizerLagMs: number;
  /** Whether the API server answers, as far as is known: what it would be asked in vain is not waited for. */
  readonly alive: () => boolean;
  /** A secret turned out to be another than the one that was held. */
  readonly onChanged: () => void;
};

/** All that is held, so that a node's secrets cannot fill its memory; one is at most 1 MiB. */
const MAX_HELD_BYTES = 8 * 1_048_576;
/** client-go's informers tell the Node authorizer within about this many doublings of the first pause. */
const LAG_TRIES = 3;

type Held = { readonly secret: Secret; readonly readAt: number };
type Reading = { readonly running: Promise<Secret | undefined>; next?: Promise<Secret | undefined> };

/**
 * Secrets, one by one and only when asked for. Equal questions share an answer; who asks for a fresh one shares it only
 * with those that asked before it was sent.
 */
export function createSecretReader(options: SecretReaderOptions): SecretReader {
  const { client, maxAgeMs, authorizerLagMs, alive, onChanged } = options;
  const held = new LRUCache<string, Held>({
    maxSize: MAX_HELD_BYTES,
    sizeCalculation: ({ secret }) => sizeOf(secret),
  });
  const readings = new Map<string, Reading>();

  async function read(key: string, namespace: string, name: string): Promise<Secret | undefined> {
    const before = held.get(key)?.secret;
    const secret = await readSecret(client, namespace, name, authorizerLagMs);
    if (secret) held.set(key, { secret, readAt: performance.now() });
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
      const known = held.get(key);
      if (known && performance.now() - known.readAt < maxAgeMs) return known.secret;
      const reading = readings.get(key)?.running ?? begin(key, namespace, name);
      if (!known) return reading;
      const orKnown = reading.catch((error: unknown) => {
        if (error instanceof PodSourceError && error.reason === 'apiServerUnavailable') return known.secret;
        throw error;
      });
      return alive() ? orKnown : Promise.race([orKnown, known.secret]);
    },
    sweep(named) {
      for (const { secret } of [...held.values()]) {
        if (!named(secret.namespace, secret.name)) held.delete(`${secret.namespace}/${secret.name}`);
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
    return secretFromObject(await askPastLag(client, path, authorizerLagMs));
  } catch (error) {
    if (error instanceof ApiError && error.reason === 'notFound') return undefined;
    throw secretError(error, namespace, name);
  }
}

/** Asks again while the Node authorizer may not have heard of the pod that names the secret. */
async function askPastLag(client: ApiClient, path: string, firstPauseMs: number): Promise<unknown> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await client.ask({ path });
    } catch (error) {
      if (!isUnrelated(error) || tries >= LAG_TRIES) throw error;
      await sleep(firstPauseMs * 2 ** tries);
    }
  }
}

function sizeOf({ data }: Secret): number {
  let bytes = 1_024;
  for (const [key, value] of data) bytes += key.length + value.length;
  return bytes;
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
