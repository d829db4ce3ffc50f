import { describe, expect, it } from 'vitest';
import { forgetGoneOwners, type UidNow } from '../../../agent/access/renewal/gone-owners.ts';
import { createPace } from '../../../agent/access/renewal/pace.ts';
import { imageRef, repository, useNode } from '../scene.ts';

const node = useNode();

const secret = { namespace: 'team-a', name: 's', uid: 'uid-1', credentialHash: 'h1' };
const account = { namespace: 'team-a', name: 'builder', uid: 'uid-2' };

/** Who has a grant after a sweep in which names have these uids. */
async function sweep(secretUid: UidNow, serviceAccountUid: UidNow): Promise<readonly string[]> {
  node.store.mergeCredentials(repository, imageRef, { kubernetesSecrets: [secret] });
  node.store.mergeCredentials(`${repository}/sub`, imageRef, { kubernetesServiceAccounts: [account] });
  const pace = createPace(60_000);
  await forgetGoneOwners({
    ...{ store: node.store, secretUid, serviceAccountUid, pace },
    onForgotten: () => undefined,
    onRecordStoreError: (error) => {
      throw error;
    },
  });
  pace.close();
  return [...node.store.listGrants()].map(({ grantee }) => ('uid' in grantee ? grantee.uid : ''));
}

describe('a sweep over secrets and service accounts on record', () => {
  it('leaves what is there, and what this agent may not read', async () => {
    expect(
      await sweep(
        async () => 'uid-1',
        async () => 'unknown',
      ),
    ).toEqual(['uid-1', 'uid-2']);
    expect(
      await sweep(
        async () => 'unknown',
        async () => 'uid-2',
      ),
    ).toEqual(['uid-1', 'uid-2']);
  });

  it('forgets what was granted to one that is gone', async () => {
    expect(
      await sweep(
        async () => undefined,
        async () => 'uid-2',
      ),
    ).toEqual(['uid-2']);
    expect(
      await sweep(
        async () => 'uid-1',
        async () => undefined,
      ),
    ).toEqual(['uid-1']);
  });

  it('forgets what was granted to one that another has taken the name of', async () => {
    expect(
      await sweep(
        async () => 'uid-other',
        async () => 'uid-other',
      ),
    ).toEqual([]);
  });
});
