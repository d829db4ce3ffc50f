import { describe, expect, it } from 'vitest';
import { describeSource, grantOf, ofSecret, podCredentialsOf } from '../../agent/credentials/grant.ts';
import type { CredentialSource, SourcedCredential } from '../../agent/credentials/types.ts';

const account = { namespace: 'team-a', name: 'builder', uid: 'sa-uid' };
const secret = { namespace: 'team-a', name: 'regcred', uid: 'secret-uid' };
const credential = { username: 'u', password: 'p', email: '' };
const of = (source: CredentialSource, credentialHash = 'hash'): SourcedCredential => ({
  credential,
  source,
  credentialHash,
});
const ofAccount = of({ kind: 'serviceAccount', ...account, provider: 'ecr' });
const ofFile = of({ kind: 'node', file: '/var/lib/kubelet/config.json' });
const ofPlugin = of({ kind: 'node', provider: 'ecr' });
const ofPullSecret = ofSecret({ credential, secret, credentialHash: 'hash' });

describe('a grant', () => {
  it.each([
    ['without any credential', undefined, { nodePodsAccessible: true }],
    ["with the node's file", ofFile, { nodePodsAccessible: true }],
    ["with a node's plugin", ofPlugin, { nodePodsAccessible: true }],
    ['with a secret', ofPullSecret, { kubernetesSecrets: [{ ...secret, credentialHash: 'hash' }] }],
    ['with a service account', ofAccount, { kubernetesServiceAccounts: [account] }],
  ])('%s is recorded under its source', (_, won, recorded) => {
    expect(grantOf(won)).toEqual(recorded);
  });
});

it("a pod shows its secrets, the first of its service accounts, and nothing of the node's", () => {
  const second = of({ kind: 'serviceAccount', ...account, uid: 'other', provider: 'acr' });
  expect(podCredentialsOf([ofPullSecret, ofFile, ofPlugin, ofAccount, second, ofPullSecret])).toEqual({
    secrets: Array(2).fill({ ...secret, credentialHash: 'hash' }),
    serviceAccount: account,
  });
  expect(podCredentialsOf([ofFile, ofPlugin])).toEqual({ secrets: [] });
});

it('a source is named for people', () => {
  expect([ofPullSecret, ofAccount, ofFile, ofPlugin].map(({ source }) => describeSource(source))).toEqual([
    'with secret team-a/regcred',
    'with service account team-a/builder through provider ecr',
    "with the node's credentials (/var/lib/kubelet/config.json)",
    "with the node's credentials (provider ecr)",
  ]);
});
