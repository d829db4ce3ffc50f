import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { PodCredentials, ReadOptions } from '../../agent/access/pod-credentials.ts';
import type { AccessRequest } from '../../agent/access/request.ts';
import { createSecretRecheck, type SecretRecheck } from '../../agent/access/secret-recheck.ts';
import { type Unverifiable, unverifiable } from '../../agent/access/verdict.ts';

let recheck: SecretRecheck;
beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  recheck.close();
  vi.useRealTimers();
});

function requestOf(uid: string, imagePullSecrets = ['pull']): AccessRequest {
  return {
    pod: {
      namespace: 'team-a',
      name: uid,
      uid,
      serviceAccountName: 'default',
      imagePullSecrets,
      containers: [],
    },
    container: { name: 'app', image: 'reg.example.com/app:1', imagePullPolicy: 'IfNotPresent' },
    imageRef: `sha256:${'a'.repeat(64)}`,
    urgent: true,
  };
}

const secrets = (version: string): PodCredentials => ({
  credentials: [],
  imagePullSecrets: 1,
  missing: [],
  version,
  isCached: false,
});

/** What a fresh read gives; counts the reads, and notes whose containers are to be judged again. */
function scene(answer: () => Promise<PodCredentials | Unverifiable> | PodCredentials | Unverifiable) {
  const reads: (ReadOptions | undefined)[] = [];
  const changed: string[] = [];
  recheck = createSecretRecheck(
    async (_pod, _repository, options) => {
      reads.push(options);
      return answer();
    },
    ({ uid }) => changed.push(uid),
  );
  return { reads, changed };
}

describe('what was allowed on a cached secret', () => {
  it('is looked at a minute later, with the secret read afresh and no plugin run', async () => {
    const { reads, changed } = scene(() => secrets('1'));
    recheck.watch(requestOf('web'), '1');
    await vi.advanceTimersByTimeAsync(59_999);
    expect(reads).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(reads).toEqual([{ fresh: true, secretsOnly: true }]);
    await vi.advanceTimersByTimeAsync(600_000);
    expect([reads.length, changed]).toEqual([1, []]);
  });

  it('is judged again when the secret has changed, for each pod, and the secret is read once for all', async () => {
    const { reads, changed } = scene(() => secrets('2'));
    for (const uid of ['web', 'api', 'web']) recheck.watch(requestOf(uid), '1');
    await vi.advanceTimersByTimeAsync(60_000);
    expect([reads.length, changed]).toEqual([1, ['web', 'api']]);
  });

  it('is looked at for each version of a secret', async () => {
    const { reads, changed } = scene(() => secrets('2'));
    recheck.watch(requestOf('old'), '1');
    recheck.watch(requestOf('new'), '2');
    await vi.advanceTimersByTimeAsync(60_000);
    expect([reads.length, changed]).toEqual([2, ['old']]);
  });

  it('is looked at once more for a pod that came while the secret was being read', async () => {
    let release = (): void => undefined;
    const { reads } = scene(
      () =>
        new Promise((resolve) => {
          release = () => resolve(secrets('1'));
        }),
    );
    recheck.watch(requestOf('web'), '1');
    await vi.advanceTimersByTimeAsync(60_000);
    recheck.watch(requestOf('late'), '1');
    release();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(reads).toHaveLength(2);
  });

  it('is tried again every half minute while the secret cannot be read', async () => {
    let answer: PodCredentials | Unverifiable = unverifiable('apiServerUnavailable', 'no answer');
    const { reads, changed } = scene(() => answer);
    for (const uid of ['web', 'api']) recheck.watch(requestOf(uid), '1');
    await vi.advanceTimersByTimeAsync(60_000 + 2 * 30_000);
    expect([reads.length, changed]).toEqual([3, []]);
    answer = secrets('2');
    await vi.advanceTimersByTimeAsync(30_000);
    expect([reads.length, changed]).toEqual([4, ['web', 'api']]);
  });

  it('is looked at for each list of secrets: one that does not exist is in no version', async () => {
    const { reads, changed } = scene(() => secrets('2'));
    recheck.watch(requestOf('web', ['pull', 'ghost']), '1');
    recheck.watch(requestOf('api'), '1');
    await vi.advanceTimersByTimeAsync(60_000);
    expect([reads.length, changed]).toEqual([2, ['web', 'api']]);
  });

  it('is left alone after some tries where the API server answers, but not with the secret', async () => {
    const { reads, changed } = scene(() => unverifiable('secretUnreadable', 'no pod of this node names it'));
    recheck.watch(requestOf('web'), '1');
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect([reads.length, changed]).toEqual([10, []]);
  });

  it('is tried on for as long as the secret makes no sense: the tenant may have written it so', async () => {
    const { reads } = scene(() => unverifiable('secretMalformed', 'no docker config'));
    recheck.watch(requestOf('web'), '1');
    await vi.advanceTimersByTimeAsync(60_000 + 20 * 30_000);
    expect(reads).toHaveLength(21);
  });

  it('has all its tries for a pod that comes when those of another are nearly over', async () => {
    const { reads } = scene(() => unverifiable('secretUnreadable', 'no pod of this node names it'));
    recheck.watch(requestOf('web'), '1');
    await vi.advanceTimersByTimeAsync(60_000 + 8 * 30_000);
    recheck.watch(requestOf('late'), '1');
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(reads).toHaveLength(9 + 10);
  });

  it('is judged again where the look fails by mistake', async () => {
    const { changed } = scene(() => Promise.reject(new TypeError('a mistake')));
    recheck.watch(requestOf('web'), '1');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(changed).toEqual(['web']);
  });

  it('is not looked at where the secret had not been cached, nor after the end', async () => {
    const { reads } = scene(() => secrets('1'));
    recheck.watch(requestOf('fresh'), undefined);
    recheck.watch(requestOf('web'), '1');
    recheck.close();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(reads).toEqual([]);
  });
});
