import { LRUCache } from 'lru-cache';
import { ApiError, ManifestError, PodSourceError } from '../../errors.ts';
import type { FairQueue } from '../../fair-queue.ts';
import { asBuffers } from '../../fair-thread.ts';
import { type ApiClient, isObjectName, parseAnswer } from '../../kubernetes/api-client.ts';
import { secretFromObject } from '../manifest.ts';
import type { Secret } from '../pod-source.ts';
import { isCostly, type LargeObjectReader } from './large-objects/reader.ts';
import { askPastLag, isUnrelated, refusedUser } from './past-lag.ts';

export type SecretReader = {
  /**
   * Undefined where there is none. While the API server is away, what was last read of a secret that a pod of
   * the node names still counts, as it does for kubelet, unless it is asked for afresh.
   *
   * @throws PodSourceError apiServerUnavailable, secretUnreadable
   */
  get(namespace: string, name: string, fresh: boolean): Promise<Secret | undefined>;
  /** Lets go of secrets for which `named` is false. */
  sweep(named: (namespace: string, name: string) => boolean): void;
  /** How many are held. */
  size(): number;
};

export type SecretReaderOptions = {
  readonly client: Pick<ApiClient, 'askBytes'>;
  readonly large: LargeObjectReader;
  /** Reads wait here for their namespace's turn. */
  readonly queue: FairQueue;
  /** How old a secret may be that is not asked for afresh, ms. */
  readonly maxAgeMs: number;
  /** How long one that does not exist is not asked for again, unless afresh, ms. */
  readonly missingMs: number;
  readonly authorizerLagMs: number;
  /** Whether the API server answers, as far as is known: what it would be asked in vain is not waited for. */
  readonly alive: () => boolean;
  /** A secret turned out to be another than the one that was held. */
  readonly onChanged: () => void;
};

/** All that is held, so that a node's secrets cannot fill its memory; one is at most 1 MiB. */
const MAX_HELD_BYTES = 4 * 1_048_576;
const MAX_MISSING = 5_000;

type Reading = {
  readonly outcome: Promise<Secret | undefined>;
  /** The request has left the queue: a write that comes now may not be in its answer. */
  isSent: boolean;
  next?: Promise<Secret | undefined>;
};

/**
 * Secrets, one by one and only when asked for. Equal questions share an answer; who asks for a fresh one
 * shares it only with those that asked before it was sent.
 */
export function createSecretReader(options: SecretReaderOptions): SecretReader {
  const { client, large, queue, maxAgeMs, authorizerLagMs, alive, onChanged } = options;
  const held = new LRUCache<string, Secret>({ maxSize: MAX_HELD_BYTES, sizeCalculation: sizeOf });
  const missing = new LRUCache<string, true>({ max: MAX_MISSING, ttl: options.missingMs });
  const readings = new Map<string, Reading>();

  function keep(key: string, secret: Secret | undefined): void {
    const before = held.get(key);
    const wasMissing = missing.has(key);
    if (secret) {
      held.set(key, secret);
      missing.delete(key);
    } else {
      held.delete(key);
      missing.set(key, true);
    }
    const changed = before ? before.resourceVersion !== secret?.resourceVersion : wasMissing && secret;
    if (changed) onChanged();
  }

  function begin(key: string, namespace: string, name: string): Promise<Secret | undefined> {
    let readAtMs = 0;
    const send = (): Promise<Buffer> =>
      queue.run(namespace, () => {
        reading.isSent = true;
        readAtMs = performance.now();
        return client.askBytes({ path: `/api/v1/namespaces/${namespace}/secrets/${name}` });
      });
    const read = async (): Promise<Secret | undefined> => {
      try {
        const json = await askPastLag(send, authorizerLagMs);
        const secret = isCostly(json)
          ? await readLarge(large, namespace, json, readAtMs)
          : secretFromObject(parseAnswer(json), readAtMs);
        keep(key, secret);
        return secret;
      } catch (error) {
        if (!(error instanceof ApiError) || error.reason !== 'notFound') {
          throw secretError(error, namespace, name);
        }
        keep(key, undefined);
        return undefined;
      } finally {
        if (readings.get(key) === reading) readings.delete(key);
      }
    };
    const reading: Reading = { isSent: false, outcome: Promise.resolve().then(read) };
    readings.set(key, reading);
    return reading.outcome;
  }

  function readAfresh(key: string, namespace: string, name: string): Promise<Secret | undefined> {
    const reading = readings.get(key);
    if (!reading) return begin(key, namespace, name);
    if (!reading.isSent) return reading.outcome;
    const again = (): Promise<Secret | undefined> => begin(key, namespace, name);
    reading.next ??= reading.outcome.then(again, again);
    return reading.next;
  }

  return {
    async get(namespace, name, fresh) {
      if (!isObjectName(namespace) || !isObjectName(name)) return undefined;
      const key = `${namespace}/${name}`;
      if (fresh) return readAfresh(key, namespace, name);
      const known = held.get(key);
      if (known && performance.now() - known.readAtMs < maxAgeMs) return known;
      if (missing.has(key)) return undefined;
      const reading = readings.get(key)?.outcome ?? begin(key, namespace, name);
      if (!known) return reading;
      const orKnown = reading.catch((error: unknown) => {
        if (error instanceof PodSourceError && error.reason === 'apiServerUnavailable') return known;
        throw error;
      });
      return alive() ? orKnown : Promise.race([orKnown, known]);
    },
    sweep(named) {
      for (const { namespace, name } of [...held.values()]) {
        if (!named(namespace, name)) held.delete(`${namespace}/${name}`);
      }
    },
    size: () => held.size,
  };
}

/** @throws ManifestError secretMalformed */
async function readLarge(
  large: LargeObjectReader,
  namespace: string,
  json: Buffer,
  readAtMs: number,
): Promise<Secret> {
  const read = await large.read(namespace, { kind: 'secret', json, readAtMs });
  if (read.kind === 'secret') return { ...read.secret, data: asBuffers(read.secret.data) };
  const message = read.kind === 'problem' ? read.message : 'it was not understood';
  throw new ManifestError('secretMalformed', message);
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
  const grant = isUnrelated(error)
    ? 'the Node authorizer lets it read only secrets that a pod of this node names'
    : `grant it the verb get on secrets in namespace ${namespace}`;
  return new PodSourceError('secretUnreadable', `${secret}: ${refusedUser(error)} may not read it: ${grant}`);
}
