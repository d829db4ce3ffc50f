import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AccessFacts, type Decision, decide } from '../../../agent/access/record/decide.ts';
import { makePolicy, requiresVerification } from '../../../agent/access/record/policy.ts';
import { byCoordinates } from '../../../agent/records/merge.ts';
import type { ImagePullCredentials, ImagePullSecret } from '../../../agent/records/types.ts';

const image = 'reg.example.com/team-a/app:1';
const trimmedImage = 'reg.example.com/team-a/app';
const imageRef = 'sha256:aaa';
const alice = secretOf('team-a', 'hash-a');
const bob = secretOf('team-b', 'hash-b');

function secretOf(namespace: string, credentialHash: string, uid = `uid-${namespace}`): ImagePullSecret {
  return { namespace, name: 'regcred', uid, credentialHash };
}

function ask(entry: ImagePullCredentials | undefined, facts: Partial<AccessFacts> = {}): Decision {
  const credentialMapping = new Map(entry ? [[trimmedImage, entry]] : []);
  return decide({
    image,
    trimmedImage,
    imageRef,
    policy: makePolicy('NeverVerifyPreloadedImages'),
    record: { imageRef, lastUpdatedTime: 0, credentialMapping },
    tracked: true,
    ...facts,
  });
}

describe('which images a policy asks credentials for', () => {
  it.each([
    ['NeverVerify', false, false],
    ['NeverVerifyPreloadedImages', true, false],
    ['AlwaysVerify', true, true],
  ] as const)('%s: pulled %s, preloaded %s', (kind, pulled, preloaded) => {
    expect(requiresVerification(makePolicy(kind), image, true)).toBe(pulled);
    expect(requiresVerification(makePolicy(kind), image, false)).toBe(preloaded);
  });

  it('NeverVerifyAllowlistedImages: those that are not on the list', () => {
    const policy = makePolicy('NeverVerifyAllowlistedImages', ['reg.example.com/team-a/*']);
    expect(requiresVerification(policy, image, true)).toBe(false);
    expect(requiresVerification(policy, 'reg.example.com/team-b/app:1', false)).toBe(true);
    expect(requiresVerification(policy, 'NOT a//name:::', false)).toBe(true);
  });
});

describe('a decision from policy and record alone', () => {
  it('is that an image which is absent must be pulled, under every policy', () => {
    const decision = ask(undefined, { imageRef: '', policy: makePolicy('NeverVerify') });
    expect(decision).toEqual({ result: 'mustAuthenticate', reason: 'imageNotPresent' });
  });

  it('says whether it was the policy or the image being preloaded that allowed it', () => {
    const preloaded = ask(undefined, { tracked: false });
    expect(preloaded).toEqual({ result: 'credentialPolicyAllowed', reason: 'preloaded' });
    const never = ask(undefined, { policy: makePolicy('NeverVerify') });
    expect(never).toEqual({ result: 'credentialPolicyAllowed', reason: 'verificationPolicy' });
  });

  it('does not need the pod for an image that every pod may use', () => {
    expect(ask({ nodePodsAccessible: true })).toEqual({
      result: 'credentialRecordFound',
      matchedBy: 'nodePodsAccessible',
    });
  });

  it.each([
    ['there is no record', { record: undefined }, undefined, 'noRecord'],
    ['there is none under this name', {}, undefined, 'noRecord'],
    ['nobody has proved anything yet', {}, {}, 'noCredentials'],
  ] as const)('does not need the pod when %s', (_what, facts, entry, reason) => {
    expect(ask(entry, facts)).toEqual({ result: 'mustAuthenticate', reason });
  });

  it('is an error for a name that is none', () => {
    const decision = ask({ nodePodsAccessible: true }, { trimmedImage: undefined });
    expect(decision).toEqual({ result: 'error', reason: 'imageNameInvalid' });
  });

  it('needs the pod where secrets are known', () => {
    expect(ask({ kubernetesSecrets: [alice] })).toEqual({ result: 'needsPodCredentials' });
  });
});

describe('a decision from the secrets of a pod', () => {
  const entry = { kubernetesSecrets: [alice, bob] };

  it('finds the very secret that was good for a pull, and has nothing to learn', () => {
    expect(ask(entry, { podCredentials: { secrets: [bob] } })).toEqual({
      result: 'credentialRecordFound',
      matchedBy: 'hash',
    });
  });

  it('finds the same credential in another secret, and learns that one', () => {
    const copied = secretOf('team-c', 'hash-a');
    expect(ask(entry, { podCredentials: { secrets: [copied] } })).toEqual({
      result: 'credentialRecordFound',
      matchedBy: 'hash',
      learn: { kubernetesSecrets: [copied] },
    });
  });

  it('finds a secret that was changed since, says so, and learns its new hash', () => {
    const rotated = secretOf('team-a', 'new');
    expect(ask(entry, { podCredentials: { secrets: [rotated] } })).toEqual({
      result: 'credentialRecordFound',
      matchedBy: 'coordinates',
      learn: { kubernetesSecrets: [rotated] },
    });
  });

  it('is not fooled by a secret that was made again under the same name', () => {
    const remade = secretOf('team-a', 'new', 'another-uid');
    expect(ask(entry, { podCredentials: { secrets: [remade] } })).toEqual({
      result: 'mustAuthenticate',
      reason: 'noMatch',
    });
  });

  it('takes no uid for the secret of another namespace', () => {
    const forged = secretOf('team-c', 'new', alice.uid);
    expect(ask(entry, { podCredentials: { secrets: [forged] } })).toEqual({
      result: 'mustAuthenticate',
      reason: 'noMatch',
    });
  });

  it('never takes one unknown hash for another', () => {
    const unknown = { kubernetesSecrets: [secretOf('team-a', '')] };
    const decision = ask(unknown, { podCredentials: { secrets: [secretOf('team-b', '')] } });
    expect(decision).toEqual({ result: 'mustAuthenticate', reason: 'noMatch' });
  });

  it('has no match for a pod without secrets', () => {
    expect(ask(entry, { podCredentials: { secrets: [] } })).toEqual({
      result: 'mustAuthenticate',
      reason: 'noMatch',
    });
  });

  it('finds a service account', () => {
    const account = { namespace: 'team-a', name: 'default', uid: 'sa' };
    const accounts = { kubernetesServiceAccounts: [account] };
    const found = ask(accounts, { podCredentials: { secrets: [], serviceAccount: { ...account } } });
    expect(found).toEqual({ result: 'credentialRecordFound', matchedBy: 'serviceAccount' });
    const other = ask(accounts, {
      podCredentials: { secrets: [], serviceAccount: { ...account, uid: 'other' } },
    });
    expect(other).toEqual({ result: 'mustAuthenticate', reason: 'noMatch' });
  });

  it('learns nothing, and takes no changed secret, where the entry holds 100 secrets', () => {
    const full = {
      kubernetesSecrets: Array.from({ length: 100 }, (_, at) => secretOf(`team-${at}`, `hash-${at}`)),
    };
    const copied = ask(full, { podCredentials: { secrets: [secretOf('elsewhere', 'hash-7')] } });
    expect(copied).toEqual({ result: 'credentialRecordFound', matchedBy: 'hash' });
    const rotated = ask(full, { podCredentials: { secrets: [secretOf('team-7', 'new')] } });
    expect(rotated).toEqual({ result: 'mustAuthenticate', reason: 'noMatch' });
  });
});

describe('the indexed search', () => {
  const few = fc.constantFrom('a', 'b', 'c');
  const secret = fc.record({
    namespace: few,
    name: few,
    uid: few,
    credentialHash: fc.constantFrom('', 'h1', 'h2', 'h3'),
  });
  const entry = fc.oneof(
    fc.uniqueArray(secret, {
      maxLength: 27,
      selector: ({ namespace, name, uid }) => `${namespace}/${name}/${uid}`,
    }),
    fc.constant(Array.from({ length: 100 }, (_, at) => secretOf('a', `h${at % 5}`, `${at}`))),
  );

  it('allows and learns what a search pair by pair does', () => {
    fc.assert(
      fc.property(entry, fc.array(secret, { maxLength: 4 }), (unordered, podSecrets) => {
        const known = [...unordered].sort(byCoordinates);
        const decision = ask({ kubernetesSecrets: known }, { podCredentials: { secrets: podSecrets } });
        const learn = decision.result === 'credentialRecordFound' ? decision.learn : undefined;
        const found = {
          allowed: decision.result === 'credentialRecordFound',
          learned: learn?.kubernetesSecrets?.[0],
        };
        expect(found).toEqual(pairByPair(known, podSecrets));
      }),
      { numRuns: 2_000 },
    );
  });
});

/**
 * As kubelet's MustAttemptImagePull goes about it: every pair, in order. What is there just as it is, it
 * would write again to no effect.
 */
function pairByPair(known: readonly ImagePullSecret[], podSecrets: readonly ImagePullSecret[]) {
  for (const mine of podSecrets) {
    const isThere = known.some(
      (theirs) => byCoordinates(mine, theirs) === 0 && theirs.credentialHash === mine.credentialHash,
    );
    const mayLearn = known.length < 100;
    for (const theirs of known) {
      const hash = theirs.credentialHash !== '' && theirs.credentialHash === mine.credentialHash;
      const coordinates = byCoordinates(mine, theirs) === 0;
      if (hash) return { allowed: true, learned: coordinates || isThere || !mayLearn ? undefined : mine };
      if (coordinates && mayLearn) return { allowed: true, learned: mine };
    }
  }
  return { allowed: false, learned: undefined };
}
