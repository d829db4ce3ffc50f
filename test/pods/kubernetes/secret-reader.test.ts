import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ApiError } from '../../../agent/errors.ts';
import { createFairQueue } from '../../../agent/fair-queue.ts';
import type { ApiClient } from '../../../agent/kubernetes/api-client.ts';
import { createLargeObjectReader } from '../../../agent/pods/kubernetes/large-objects/reader.ts';
import { createSecretReader, type SecretReader } from '../../../agent/pods/kubernetes/secrets.ts';
import { secretObject } from './objects.ts';

/** As the API server sends it. */
function sent(object: object): Buffer {
  return Buffer.from(JSON.stringify(object));
}

const large = createLargeObjectReader();

/** Over an API server that has every secret, each of so many bytes. */
function reader(bytes = 10): SecretReader {
  const askBytes: ApiClient['askBytes'] = async ({ path }) =>
    sent(secretObject(path.split('/').at(-1) ?? '', 'x'.repeat(bytes), path.split('/')[4]));
  return createSecretReader({
    client: { askBytes },
    large,
    queue: createFairQueue({ atOnce: 8 }),
    maxAgeMs: 60_000,
    missingMs: 5_000,
    authorizerLagMs: 1,
    alive: () => true,
    onChanged: () => undefined,
  });
}

describe('the secrets that are held', () => {
  it('are let go of when no pod names them any more', async () => {
    const secrets = reader();
    await secrets.get('team-a', 'alice', false);
    await secrets.get('team-b', 'bob', false);
    secrets.sweep((namespace, name) => namespace === 'team-a' && name === 'alice');
    expect(secrets.size()).toBe(1);
  });

  it('take only so much memory, however many and however large they are', async () => {
    const secrets = reader(1_000_000);
    for (let index = 0; index < 30; index += 1) await secrets.get('team-a', `s${index}`, false);
    expect(secrets.size()).toBeGreaterThan(0);
    expect(secrets.size()).toBeLessThanOrEqual(8);
  });
});

describe('a secret that was read some time ago', () => {
  /** Over an API server that answers as told; what is read counts for 5 ms. */
  function readerOf(server: { answers: 'secret' | 'nothing' | ApiError; alive: boolean }): SecretReader {
    const askBytes: ApiClient['askBytes'] = async () => {
      if (server.answers === 'nothing') return new Promise<never>(() => undefined);
      if (server.answers === 'secret') return sent(secretObject('alice', 'x', 'team-a'));
      throw server.answers;
    };
    const alive = (): boolean => server.alive;
    return createSecretReader({
      client: { askBytes },
      large,
      queue: createFairQueue({ atOnce: 8 }),
      maxAgeMs: 5,
      missingMs: 5,
      authorizerLagMs: 1,
      alive,
      onChanged: () => undefined,
    });
  }

  async function readOnce(): Promise<{ server: Parameters<typeof readerOf>[0]; secrets: SecretReader }> {
    const server: Parameters<typeof readerOf>[0] = { answers: 'secret', alive: true };
    const secrets = readerOf(server);
    await secrets.get('team-a', 'alice', false);
    await sleep(20);
    return { server, secrets };
  }

  it('still counts while the API server is away, so that what may run is not stopped for that', async () => {
    const { server, secrets } = await readOnce();
    server.answers = new ApiError('unreachable', 'connection refused');
    expect((await secrets.get('team-a', 'alice', false))?.name).toBe('alice');
  });

  it('is not waited for where the API server is known not to answer', async () => {
    const { server, secrets } = await readOnce();
    server.answers = 'nothing';
    server.alive = false;
    expect((await secrets.get('team-a', 'alice', false))?.name).toBe('alice');
  });

  it('does not count for a denial: afresh means from the API server', async () => {
    const { server, secrets } = await readOnce();
    server.answers = new ApiError('unreachable', 'connection refused');
    await expect(secrets.get('team-a', 'alice', true)).rejects.toMatchObject({
      reason: 'apiServerUnavailable',
    });
  });

  it.each([
    ['was deleted', 'notFound', undefined],
    ['may not be read any more', 'forbidden', 'secretUnreadable'],
  ] as const)('does not count once it %s', async (_, failure, reason) => {
    const { server, secrets } = await readOnce();
    server.answers = new ApiError(failure, 'no');
    const read = secrets.get('team-a', 'alice', false);
    if (reason) await expect(read).rejects.toMatchObject({ reason });
    else expect(await read).toBeUndefined();
  });
});

describe('many questions', () => {
  /** Over an API server that answers when told, and keeps the order in which it was asked. */
  function waitingServer(): { secrets: SecretReader; asked: string[]; answerAll: () => Promise<void> } {
    const asked: string[] = [];
    const waiting: (() => void)[] = [];
    const askBytes: ApiClient['askBytes'] = ({ path }) => {
      const [, , , , namespace = '', , name = ''] = path.split('/');
      asked.push(`${namespace}/${name}`);
      return new Promise((resolve, reject) => {
        const found = (): void => resolve(sent(secretObject(name, 'x', namespace)));
        const notFound = (): void => reject(new ApiError('notFound', 'no'));
        waiting.push(name.startsWith('no-') ? notFound : found);
      });
    };
    const secrets = createSecretReader({
      client: { askBytes },
      large,
      queue: createFairQueue({ atOnce: 4 }),
      maxAgeMs: 60_000,
      missingMs: 60_000,
      authorizerLagMs: 1,
      alive: () => true,
      onChanged: () => undefined,
    });
    async function answerAll(): Promise<void> {
      await settled();
      while (waiting.length > 0) {
        for (const answer of waiting.splice(0)) answer();
        await settled();
      }
    }
    return { secrets, asked, answerAll };
  }

  /** All that needs nobody's answer has happened. */
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  it('of one namespace do not hold up the one question of another', async () => {
    const { secrets, asked, answerAll } = waitingServer();
    const many = Array.from({ length: 2_000 }, (_, index) => secrets.get('greedy', `no-${index}`, true));
    await settled();
    const one = secrets.get('modest', 'alice', false);
    await answerAll();
    expect((await one)?.name).toBe('alice');
    await Promise.all(many);
    // Four were under way, and one of the others may go first; 1,996 waited.
    expect(asked.indexOf('modest/alice')).toBeLessThanOrEqual(5);
    expect(asked).toHaveLength(2_001);
  });

  it('are never more than a few under way', async () => {
    const { secrets, asked, answerAll } = waitingServer();
    const many = Array.from({ length: 50 }, (_, index) => secrets.get(`team-${index}`, 'alice', true));
    await settled();
    expect(asked).toHaveLength(4);
    await answerAll();
    await Promise.all(many);
    expect(asked).toHaveLength(50);
  });

  it('for the same secret, afresh, share one request as long as it has not been sent', async () => {
    const { secrets, asked, answerAll } = waitingServer();
    const busy = Array.from({ length: 4 }, (_, index) => secrets.get('team-b', `s${index}`, true));
    await settled();
    const many = Array.from({ length: 100 }, () => secrets.get('team-a', 'alice', true));
    await answerAll();
    await Promise.all([...busy, ...many]);
    expect(asked.filter((name) => name === 'team-a/alice')).toHaveLength(1);
  });

  it('for a secret that does not exist are one, unless it is asked for afresh', async () => {
    const { secrets, asked, answerAll } = waitingServer();
    const first = secrets.get('team-a', 'no-such', false);
    await answerAll();
    expect(await first).toBeUndefined();
    for (let times = 0; times < 10; times += 1) {
      expect(await secrets.get('team-a', 'no-such', false)).toBeUndefined();
    }
    expect(asked).toHaveLength(1);
    const fresh = secrets.get('team-a', 'no-such', true);
    await answerAll();
    expect(await fresh).toBeUndefined();
    expect(asked).toHaveLength(2);
  });

  it('are told when the secret was read: a cached one before the question, a fresh one after it', async () => {
    const { secrets, answerAll } = waitingServer();
    const first = secrets.get('team-a', 'alice', false);
    await answerAll();
    const readAtMs = (await first)?.readAtMs;
    const asking = performance.now();
    expect((await secrets.get('team-a', 'alice', false))?.readAtMs).toBe(readAtMs);
    expect(readAtMs).toBeLessThanOrEqual(asking);
    const fresh = secrets.get('team-a', 'alice', true);
    await answerAll();
    expect((await fresh)?.readAtMs).toBeGreaterThanOrEqual(asking);
  });
});
