import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { PodSourceError, ServiceAccountError } from '../../agent/errors.ts';
import { openStanding } from '../../agent/records/standing.ts';
import { type TimeParts, wireTime } from '../../agent/wiring/time.ts';
import { ask, imageRef, type Registry, repository, useNode } from '../access/scene.ts';
import { makeRowsInMemory } from '../records/store-in-memory.ts';

const node = useNode();

const MINUTE = 60_000;
const TTL = 60 * MINUTE;
/** Sweeps are 15 minutes apart, by chance half as long or half as long again. */
const SWEEP = 22.5 * MINUTE;
const SOONEST_SWEEP = 7.5 * MINUTE;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** The agent's time over the node's records; by default all that is on record is there, and nobody is asked. */
function start(parts: Partial<TimeParts> & { readonly ttlMs?: number } = {}): {
  readonly renewed: string[];
  readonly reverified: string[];
} {
  const { ttlMs = 0, ...others } = parts;
  const renewed: string[] = [];
  const reverified: string[] = [];
  const time = wireTime(
    { recordTtl: ttlMs, reverifyRunning: 0, backgroundQuestions: 600 },
    {
      store: node.store,
      pods: { getSecret: () => Promise.reject(new PodSourceError('secretUnreadable', 'not for this agent')) },
      serviceAccounts: {
        getServiceAccount: () => Promise.reject(new ServiceAccountError('apiServerUnavailable', 'away')),
      },
      namespaces: { isThere: async () => 'unknown' },
      standing: { namespaces: () => [], forgetNamespace: () => 0 },
      verification: node.verification(),
      guard: {
        running: () => [{ id: 'c1', imageRef }],
        reverify: async (id) => {
          reverified.push(id);
          return 'refused';
        },
      },
      log: pino({ level: 'silent' }),
      metrics: { grantRenewed: (said) => renewed.push(said) },
      onRecordStoreError(error) {
        throw error;
      },
      ...others,
    },
  );
  onTestFinished(() => time.close());
  return { renewed, reverified };
}

describe('--record-ttl', () => {
  /** A registry that can be told what to say from now on. */
  function registry() {
    let say: Registry = () => 'granted';
    const asks: Registry = (name, user) => say(name, user);
    return { verification: node.verification({ registry: asks }), say: (words: Registry) => (say = words) };
  }

  it('refuses within its time whose right the registry takes away, and not before the registry said so', async () => {
    const { verification, say } = registry();
    const { renewed, reverified } = start({ ttlMs: TTL, verification });
    expect(await ask(verification.verifier)).toBe('allowed repullSucceeded');
    say(() => 'refused');
    expect(await ask(verification.verifier)).toBe('allowed recordMatched');
    expect(renewed).toEqual([]);
    await vi.advanceTimersByTimeAsync(TTL);
    await vi.waitFor(() => expect(renewed).toEqual(['refused']));
    expect(await ask(verification.verifier)).toBe('denied registryRefused');
    // And what runs by it is asked about.
    await vi.advanceTimersByTimeAsync(1);
    expect(reverified).toEqual(['c1']);
  });

  it('lets the old word count in an outage, however long it lasts', async () => {
    const { verification, say } = registry();
    const { renewed, reverified } = start({ ttlMs: TTL, verification });
    await ask(verification.verifier);
    say(() => 'down');
    await vi.advanceTimersByTimeAsync(3 * TTL);
    await vi.waitFor(() => expect(renewed).toContain('unverifiable'));
    expect(await ask(verification.verifier)).toBe('allowed recordMatched');
    expect(reverified).toEqual([]);
  });

  it('asks about nothing without it', async () => {
    const { verification } = registry();
    const { renewed } = start({ verification });
    await ask(verification.verifier);
    await vi.advanceTimersByTimeAsync(24 * TTL);
    expect(renewed).toEqual([]);
  });
});

describe('the sweep', () => {
  const secret = { namespace: 'team-a', name: 's', uid: 'uid-1', credentialHash: 'h1' };
  const account = { namespace: 'team-a', name: 'builder', uid: 'uid-2' };
  const owners = () =>
    [...node.store.listGrants()].map(({ grantee }) => ('uid' in grantee ? grantee.uid : ''));

  beforeEach(() => {
    node.store.mergeCredentials(repository, imageRef, {
      kubernetesSecrets: [secret],
      kubernetesServiceAccounts: [account],
    });
  });

  it('forgets within 23 min what was granted to a secret and an account that are gone or others now', async () => {
    start({
      pods: { getSecret: async () => undefined },
      serviceAccounts: {
        getServiceAccount: async () => ({ ...account, uid: 'uid-3', annotations: new Map() }),
      },
    });
    await vi.advanceTimersByTimeAsync(SOONEST_SWEEP - 1);
    expect(owners()).toEqual(['uid-1', 'uid-2']);
    await vi.advanceTimersByTimeAsync(SWEEP);
    expect(owners()).toEqual([]);
  });

  it('leaves what cannot be looked at', async () => {
    start();
    await vi.advanceTimersByTimeAsync(3 * SWEEP);
    expect(owners()).toEqual(['uid-1', 'uid-2']);
  });

  it('forgets the standing of a namespace that is gone, and of no other', async () => {
    const standing = openStanding(makeRowsInMemory());
    for (const namespace of ['team-a', 'team-b']) {
      standing.add({ namespace, imageRef, trimmedImage: repository, since: 0, by: 'granted' });
    }
    start({
      namespaces: { isThere: async (name) => name === 'team-b' },
      standing: {
        namespaces: () => standing.list().map(({ namespace }) => namespace),
        forgetNamespace: (namespace) => standing.forget({ namespace }),
      },
    });
    await vi.advanceTimersByTimeAsync(SWEEP + 1_000);
    expect(standing.list().map(({ namespace }) => namespace)).toEqual(['team-b']);
  });
});
