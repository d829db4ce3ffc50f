import { describe, expect, it } from 'vitest';
import type { Grant } from '../../../agent/records/types.ts';
import { ask, imageRef, type Registry, repository, requestOf, teamB, useNode } from '../scene.ts';

const node = useNode();

const grants = () => [...node.store.listGrants()];

function grantOf(namespace: string): Grant {
  const found = grants().find(({ grantee }) => 'namespace' in grantee && grantee.namespace === namespace);
  if (!found) throw new Error(`${namespace} has no grant`);
  return found;
}

/** A registry that can be told what to say from now on. */
function registry() {
  let say: Registry = () => 'granted';
  const now = (words: Registry) => {
    say = words;
  };
  return { asks: ((name, user) => say(name, user)) satisfies Registry, now };
}

describe('asking again about a grant on record', () => {
  it('dates it again where the registry grants it still', async () => {
    const { verifier, renew } = node.verification();
    await ask(verifier);
    const before = grantOf('team-a').verifiedAt ?? 0;
    expect(before).toBeGreaterThan(0);
    await expect.poll(() => Date.now()).toBeGreaterThan(before);
    expect(await renew(grantOf('team-a'))).toBe('granted');
    expect(grantOf('team-a').verifiedAt).toBeGreaterThan(before);
    expect(node.questions).toHaveLength(2);
  });

  it('takes it away where the registry refuses it, and nothing of anybody else', async () => {
    const { asks, now } = registry();
    const { verifier, renew } = node.verification({ registry: asks });
    await ask(verifier);
    await ask(verifier, { namespace: 'team-d', secrets: ['dave'] });
    now((_name, user) => (user?.username === 'dave' ? 'granted' : 'refused'));
    expect(await renew(grantOf('team-a'))).toBe('refused');
    expect(grants().map(({ grantee }) => ('namespace' in grantee ? grantee.namespace : ''))).toEqual([
      'team-d',
    ]);
    expect(await ask(verifier)).toBe('denied registryRefused');
    expect(await renew(grantOf('team-d'))).toBe('granted');
  });

  it('takes it from every secret that holds the very credential that was refused', async () => {
    const { asks, now } = registry();
    const { verifier, renew } = node.verification({ registry: asks });
    await node.putSecret('team-e', 'copy', { username: 'alice', password: 'alicepw' });
    await ask(verifier);
    await ask(verifier, { namespace: 'team-e', secrets: ['copy'] });
    now(() => 'refused');
    expect(await renew(grantOf('team-e'))).toBe('refused');
    expect(grants()).toEqual([]);
  });

  it('leaves it in an outage, for which the old word counts', async () => {
    const { asks, now } = registry();
    const { verifier, renew } = node.verification({ registry: asks });
    await ask(verifier);
    now(() => 'down');
    expect(await renew(grantOf('team-a'))).toBe('unverifiable');
    expect(await ask(verifier)).toBe('allowed recordMatched');
  });

  it('asks without credentials about what every pod may have, and takes that away as well', async () => {
    const { asks, now } = registry();
    const { verifier, renew } = node.verification({ registry: asks });
    await ask(verifier, teamB);
    const everybody = {
      imageRef,
      trimmedImage: repository,
      grantee: { kind: 'nodePodsAccessible' as const },
    };
    expect(await renew({ ...everybody, verifiedAt: undefined })).toBe('granted');
    now(() => 'refused');
    expect(await renew({ ...everybody, verifiedAt: undefined })).toBe('refused');
    expect(grants()).toEqual([]);
  });
});

describe('asking again about a container that runs', () => {
  it('asks the registry although there is a record, whatever the pull policy', async () => {
    const { verifier, reverify } = node.verification();
    await ask(verifier);
    expect(await reverify(requestOf({ policy: 'Never' }))).toMatchObject({ reason: 'repullSucceeded' });
    expect(node.questions).toHaveLength(2);
  });

  it('takes the grant off the record when the registry refuses, and not in an outage', async () => {
    const { asks, now } = registry();
    const { verifier, reverify } = node.verification({ registry: asks });
    await ask(verifier);
    now(() => 'down');
    expect(await reverify(requestOf())).toMatchObject({ verdict: 'unverifiable' });
    expect(grants()).toHaveLength(1);
    node.setClock(3_600_000);
    now(() => 'refused');
    expect(await reverify(requestOf())).toMatchObject({ verdict: 'denied', reason: 'registryRefused' });
    expect(grants()).toEqual([]);
  });

  it('grants a pod with a wrong secret what is granted to everybody', async () => {
    const { asks, now } = registry();
    const { verifier, reverify } = node.verification({ registry: asks });
    await ask(verifier, teamB);
    now((_name, user) => (user === undefined ? 'granted' : 'refused'));
    const wrong = requestOf({ namespace: 'team-c', secrets: ['wrong'] });
    expect(await reverify(wrong)).toMatchObject({ verdict: 'allowed' });
  });

  it('asks nobody about what policy opens to everybody', async () => {
    const { reverify } = node.verification({ policy: 'NeverVerify' });
    expect(await reverify(requestOf())).toMatchObject({ reason: 'verificationPolicy' });
    expect(node.questions).toEqual([]);
  });
});
