import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkAccess } from '../../../agent/access/record/check-access.ts';
import { makePolicy } from '../../../agent/access/record/policy.ts';
import type { RecordStore } from '../../../agent/records/record-store.ts';
import { makeStoreInMemory } from '../../records/store-in-memory.ts';

const policy = makePolicy('NeverVerifyPreloadedImages');
const imageRef = `sha256:${'a'.repeat(64)}`;
const present = [{ id: imageRef, repoTags: ['docker.io/library/busybox:1.36'], repoDigests: [] }];
let store: RecordStore;

beforeEach(() => {
  store = makeStoreInMemory();
});
afterEach(() => store.close());

function ask(image: string, ref = imageRef): string {
  return checkAccess(store, policy, { image, imageRef: ref }).result;
}

describe('what counts as preloaded without an inventory (kubelet)', () => {
  it('is an image with neither record nor intent', () => {
    expect(ask('busybox')).toBe('credentialPolicyAllowed');
    store.recordPullIntent('busybox');
    expect(ask('busybox')).toBe('mustAuthenticate');
    expect(ask('busybox:latest')).toBe('credentialPolicyAllowed');
    store.recordImagePulled('reg.example.com/x:1', imageRef, { nodePodsAccessible: true });
    expect(ask('busybox:latest')).toBe('mustAuthenticate');
  });
});

describe('what counts as preloaded with an inventory', () => {
  beforeEach(() => store.takeInventory(present));

  it('is content under a repository that it had then, however that is written', () => {
    for (const image of ['busybox', 'busybox:1.36', 'library/busybox:other', 'docker.io/library/busybox']) {
      expect(ask(image)).toBe('credentialPolicyAllowed');
    }
    expect(ask('busybox', 'a'.repeat(64))).toBe('credentialPolicyAllowed');
  });

  it('is not the same content under another name, nor the name with other content', () => {
    expect(ask('reg.example.com/team-a/app')).toBe('mustAuthenticate');
    expect(ask('busybox', `sha256:${'b'.repeat(64)}`)).toBe('mustAuthenticate');
  });

  it('stays so when the content is pulled under another name (kubernetes issue 138175)', () => {
    store.recordImagePulled('reg.example.com/team-a/app:1', imageRef, { kubernetesSecrets: [] });
    expect(ask('busybox')).toBe('credentialPolicyAllowed');
    expect(ask('reg.example.com/team-a/app:1')).toBe('mustAuthenticate');
  });

  it('is never something without a name', () => {
    expect(ask('NOT a//name:::')).toBe('mustAuthenticate');
    expect(ask('')).toBe('mustAuthenticate');
    expect(ask('busybox', '')).toBe('mustAuthenticate');
  });
});

describe('putting the question twice', () => {
  it('is needed only where the record names secrets', () => {
    store.takeInventory([]);
    const secret = { namespace: 'team-a', name: 'regcred', uid: 'u', credentialHash: 'h' };
    store.recordImagePulled('reg.example.com/open:1', imageRef, { nodePodsAccessible: true });
    store.recordImagePulled('reg.example.com/closed:1', imageRef, { kubernetesSecrets: [secret] });
    expect(ask('reg.example.com/open:2')).toBe('credentialRecordFound');
    expect(ask('reg.example.com/closed:2')).toBe('needsPodCredentials');
    const closed = { image: 'reg.example.com/closed:2', imageRef };
    expect(checkAccess(store, policy, closed, { secrets: [secret] }).result).toBe('credentialRecordFound');
    expect(checkAccess(store, policy, closed, { secrets: [] }).result).toBe('mustAuthenticate');
  });
});
