import { describe, expect, it } from 'vitest';
import { decide, type PodPullCredentials } from '../../../agent/access/record/decide.ts';
import { makePolicy } from '../../../agent/access/record/policy.ts';

const known = [
  { namespace: 'team-a', name: 'builder', uid: 'u1' },
  { namespace: 'team-a', name: 'deployer', uid: 'u2' },
];

function ask(podCredentials: PodPullCredentials): string {
  const record = {
    imageRef: 'sha256:a1',
    lastUpdatedTime: 0,
    credentialMapping: new Map([['reg.example/app', { kubernetesServiceAccounts: known }]]),
  };
  return decide({
    image: 'reg.example/app:1',
    trimmedImage: 'reg.example/app',
    imageRef: 'sha256:a1',
    policy: makePolicy('AlwaysVerify'),
    record,
    tracked: true,
    podCredentials,
  }).result;
}

describe('an image that service accounts were good for', () => {
  it.each(known)('may be used with each of them: $name', (account) => {
    expect(ask({ secrets: [], serviceAccount: { ...account } })).toBe('credentialRecordFound');
  });

  it.each(['namespace', 'name', 'uid'])('may not be used by one with another %s', (field) => {
    const serviceAccount = { namespace: 'team-a', name: 'builder', uid: 'u1', [field]: 'other' };
    expect(ask({ secrets: [], serviceAccount })).toBe('mustAuthenticate');
  });

  it('may not be used by a pod that has none', () => {
    expect(ask({ secrets: [] })).toBe('mustAuthenticate');
  });
});
