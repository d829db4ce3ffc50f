import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ApiError } from '../../../agent/errors.ts';
import type { ApiClient } from '../../../agent/kubernetes/api-client.ts';
import { createSecretReader, type SecretReader } from '../../../agent/pods/kubernetes/secrets.ts';
import { secretObject } from './objects.ts';

/** Over an API server that has every secret, each of so many bytes. */
function reader(bytes = 10): SecretReader {
  const ask: ApiClient['ask'] = async ({ path }) =>
    secretObject(path.split('/').at(-1) ?? '', 'x'.repeat(bytes), path.split('/')[4]);
  const open: ApiClient['open'] = () => Promise.reject(new Error('not asked for'));
  const client = { ask, open, close: () => undefined };
  return createSecretReader({
    client,
    maxAgeMs: 60_000,
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
    const ask: ApiClient['ask'] = async () => {
      if (server.answers === 'nothing') return new Promise<never>(() => undefined);
      if (server.answers === 'secret') return secretObject('alice', 'x', 'team-a');
      throw server.answers;
    };
    const open: ApiClient['open'] = () => Promise.reject(new Error('not asked for'));
    const client = { ask, open, close: () => undefined };
    const alive = (): boolean => server.alive;
    return createSecretReader({ client, maxAgeMs: 5, authorizerLagMs: 1, alive, onChanged: () => undefined });
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
