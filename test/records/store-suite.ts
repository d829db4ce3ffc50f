import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RecordStoreError } from '../../agent/errors.ts';
import type { ForgetFilter } from '../../agent/records/forget.ts';
import type { RecordStore } from '../../agent/records/record-store.ts';
import type { Grant, ImagePullCredentials, ImagePullSecret } from '../../agent/records/types.ts';

/** What every implementation of RecordStore does. `makeStore` gives an empty one without an inventory. */
export type StoreMaker = (now: () => number) => { readonly store: RecordStore; readonly cleanUp: () => void };

const hex = 'a'.repeat(64);
const imageRef = `sha256:${hex}`;
const otherRef = `sha256:${'b'.repeat(64)}`;
const image = 'reg.example.com/team-a/app:1';
const trimmed = 'reg.example.com/team-a/app';

function secretOf(namespace: string, credentialHash = `hash-${namespace}`): ImagePullSecret {
  return { namespace, name: 'regcred', uid: `uid-${namespace}`, credentialHash };
}

export function runStoreSuite(implementation: string, makeStore: StoreMaker): void {
  describe(`record store: ${implementation}`, () => {
    let store: RecordStore;
    let cleanUp: () => void;
    let clock: number;

    beforeEach(() => {
      clock = 1_000;
      ({ store, cleanUp } = makeStore(() => clock));
    });
    afterEach(() => cleanUp());

    function entry(ref = imageRef, name = trimmed): ImagePullCredentials | undefined {
      return store.pulledRecord(ref)?.credentialMapping.get(name);
    }

    describe('pulls', () => {
      it('knows an intent until its pull is settled', () => {
        store.recordPullIntent(image);
        expect(store.pullIntentExists(image)).toBe(true);
        expect(store.pulledRecord(imageRef)).toBeUndefined();

        store.recordImagePulled(image, imageRef, { kubernetesSecrets: [secretOf('team-a')] });
        expect(store.pullIntentExists(image)).toBe(false);
        expect(entry()).toEqual({ kubernetesSecrets: [secretOf('team-a')] });
      });

      it('counts pulls of the same image in flight', () => {
        store.recordPullIntent(image);
        store.recordPullIntent(image);
        store.recordImagePullFailed(image);
        expect(store.listPullIntents()).toEqual([image]);
        store.recordImagePullFailed(image);
        expect(store.listPullIntents()).toEqual([]);
      });

      it('records nothing for a pull that failed', () => {
        store.recordPullIntent(image);
        store.recordImagePullFailed(image);
        expect(store.listPulledRecords()).toEqual([]);
      });

      it('finds an image by its id with and without sha256:', () => {
        store.recordImagePulled(image, imageRef, { nodePodsAccessible: true });
        expect(store.pulledRecord(hex)).toBeDefined();
        expect(store.pulledRecord(hex)).toEqual(store.pulledRecord(imageRef));
        store.mergeCredentials('other:1', hex, { nodePodsAccessible: true });
        expect(store.listPulledRecords()).toHaveLength(1);
      });

      it('refuses a name that is none and changes nothing', () => {
        store.recordPullIntent(image);
        const pulled = () =>
          store.recordImagePulled('NOT a//name:::', imageRef, { nodePodsAccessible: true });
        expect(pulled).toThrow(RecordStoreError);
        expect(store.listPulledRecords()).toEqual([]);
        expect(() => store.recordPullIntent('x'.repeat(5_000))).toThrow(RecordStoreError);
        expect(store.listPullIntents()).toEqual([image]);
      });

      it('tells what was pulled by credentials that nobody can show again', () => {
        store.recordImagePulled(image, imageRef, {});
        expect(store.pulledRecord(imageRef)?.credentialMapping.size).toBe(0);
      });
    });

    describe('merging', () => {
      it('keeps secrets apart by coordinates, ordered, each with its newest hash', () => {
        for (const namespace of ['team-b', 'team-c', 'team-a']) {
          store.mergeCredentials(image, imageRef, { kubernetesSecrets: [secretOf(namespace)] });
        }
        store.mergeCredentials(image, imageRef, { kubernetesSecrets: [secretOf('team-b', 'rotated')] });
        expect(entry()?.kubernetesSecrets).toEqual([
          secretOf('team-a'),
          secretOf('team-b', 'rotated'),
          secretOf('team-c'),
        ]);
      });

      it('stores nothing of a secret but coordinates and hash', () => {
        const withPassword = { ...secretOf('team-a'), password: 'alicepw' };
        store.mergeCredentials(image, imageRef, { kubernetesSecrets: [withPassword] });
        expect(entry()?.kubernetesSecrets).toStrictEqual([secretOf('team-a')]);
      });

      it('lets nodePodsAccessible swallow all else, now and later', () => {
        store.mergeCredentials(image, imageRef, { kubernetesSecrets: [secretOf('team-a')] });
        store.mergeCredentials(image, imageRef, { nodePodsAccessible: true });
        store.mergeCredentials(image, imageRef, { kubernetesSecrets: [secretOf('team-b')] });
        expect(entry()).toEqual({ nodePodsAccessible: true });
      });

      it('keeps service accounts beside secrets', () => {
        const account = { namespace: 'team-a', name: 'default', uid: 'sa' };
        store.mergeCredentials(image, imageRef, { kubernetesSecrets: [secretOf('team-a')] });
        store.mergeCredentials(image, imageRef, { kubernetesServiceAccounts: [account] });
        expect(entry()).toEqual({
          kubernetesSecrets: [secretOf('team-a')],
          kubernetesServiceAccounts: [account],
        });
      });

      it('moves lastUpdatedTime when something changed, and only then', () => {
        store.mergeCredentials(image, imageRef, { kubernetesSecrets: [secretOf('team-a')] });
        clock = 2_000;
        store.mergeCredentials(image, imageRef, { kubernetesSecrets: [secretOf('team-a')] });
        expect(store.pulledRecord(imageRef)?.lastUpdatedTime).toBe(1_000);
        store.mergeCredentials(image, imageRef, { kubernetesSecrets: [secretOf('team-b')] });
        expect(store.pulledRecord(imageRef)?.lastUpdatedTime).toBe(2_000);
      });

      it('gives out snapshots that later writes leave alone', () => {
        store.mergeCredentials(image, imageRef, { kubernetesSecrets: [secretOf('team-a')] });
        const before = store.pulledRecord(imageRef);
        store.mergeCredentials(image, imageRef, { nodePodsAccessible: true });
        expect(before?.credentialMapping.get(trimmed)).toEqual({ kubernetesSecrets: [secretOf('team-a')] });
      });
    });

    describe('revoking and forgetting', () => {
      beforeEach(() => {
        const credentials = { kubernetesSecrets: [secretOf('team-a'), secretOf('team-b')] };
        store.recordImagePulled(image, imageRef, credentials);
        store.recordImagePulled('busybox:1', imageRef, { nodePodsAccessible: true });
      });

      it('takes a revoked secret out of its entry and leaves the others', () => {
        store.revokeSecret(imageRef, trimmed, secretOf('team-a', 'whatever'));
        expect(entry()).toEqual({ kubernetesSecrets: [secretOf('team-b')] });
        expect(entry(imageRef, 'busybox')).toEqual({ nodePodsAccessible: true });
      });

      it('keeps the record of an image whose last secret was revoked: it stays tracked', () => {
        store.revokeSecret(imageRef, trimmed, secretOf('team-a'));
        store.revokeSecret(imageRef, trimmed, secretOf('team-b'));
        expect(entry()).toBeUndefined();
        expect(store.pulledRecord(imageRef)).toBeDefined();
      });

      it('forgets one name of an image', () => {
        expect(store.forget(imageRef, trimmed)).toBe(true);
        expect(entry()).toBeUndefined();
        expect(entry(imageRef, 'busybox')).toEqual({ nodePodsAccessible: true });
        expect(store.forget(imageRef, trimmed)).toBe(false);
      });

      it('forgets an image with its place in the inventory', () => {
        store.takeInventory([{ id: otherRef, repoTags: ['busybox:1'], repoDigests: [] }]);
        expect(store.forget(otherRef)).toBe(true);
        expect(store.isPreloaded(otherRef, 'docker.io/library/busybox')).toBe(false);
        expect(store.forget(imageRef)).toBe(true);
        expect(store.listPulledRecords()).toEqual([]);
        expect(store.forget(imageRef)).toBe(false);
      });

      it('does not make an image preloaded by forgetting it where there is no inventory', () => {
        expect(store.forget(imageRef)).toBe(true);
        expect(store.pulledRecord(imageRef)?.credentialMapping.size).toBe(0);
      });
    });

    describe('when a grant was verified', () => {
      const grantee = {
        kind: 'kubernetesSecret',
        namespace: 'team-a',
        name: 'regcred',
        uid: 'uid-team-a',
      } as const;

      it("is when a pull succeeded with it, again and again; kubelet's time stays", () => {
        for (clock of [1_000, 2_000]) {
          store.recordImagePulled(image, imageRef, { kubernetesSecrets: [secretOf('team-a')] });
          expect(store.verifiedAt(imageRef, trimmed, grantee)).toBe(clock);
        }
        expect(store.pulledRecord(imageRef)?.lastUpdatedTime).toBe(1_000);
      });

      it('is not known of what a check learned, and nothing is known of who was not granted it', () => {
        store.mergeCredentials(image, imageRef, { kubernetesSecrets: [secretOf('team-a')] });
        expect(store.verifiedAt(imageRef, trimmed, grantee)).toBeUndefined();
        expect(store.verifiedAt(imageRef, trimmed, { kind: 'nodePodsAccessible' })).toBeUndefined();
      });

      it('is kept for each secret and account, for everyone and for the runtime', () => {
        const account = { namespace: 'team-a', name: 'default', uid: 'sa' };
        store.recordImagePulled(image, imageRef, { kubernetesServiceAccounts: [account] });
        clock = 2_000;
        store.recordImagePulled(image, imageRef, { grantedByRuntime: true });
        clock = 3_000;
        store.recordImagePulled(image, imageRef, { kubernetesSecrets: [secretOf('team-a')] });
        expect(entry()).toEqual({
          grantedByRuntime: true,
          kubernetesSecrets: [secretOf('team-a')],
          kubernetesServiceAccounts: [account],
        });
        const times = [...store.listGrants()].map(({ grantee: { kind }, verifiedAt }) => [kind, verifiedAt]);
        expect(Object.fromEntries(times)).toEqual({
          grantedByRuntime: 2_000,
          kubernetesSecret: 3_000,
          kubernetesServiceAccount: 1_000,
        });
        clock = 4_000;
        store.recordImagePulled(image, imageRef, { nodePodsAccessible: true });
        expect([...store.listGrants()]).toEqual([
          { imageRef, trimmedImage: trimmed, grantee: { kind: 'nodePodsAccessible' }, verifiedAt: 4_000 },
        ]);
      });
    });

    describe('forgetting grants', () => {
      beforeEach(() => {
        store.takeInventory([]);
        for (const [n, namespace] of ['team-a', 'team-b'].entries()) {
          clock = 1_000 * (n + 1);
          store.recordImagePulled(image, imageRef, { kubernetesSecrets: [secretOf(namespace)] });
          store.recordImagePulled('busybox:1', otherRef, { kubernetesSecrets: [secretOf(namespace)] });
        }
      });

      const namesOf = (grants: Iterable<Grant>) =>
        [...grants]
          .map(
            ({ trimmedImage, grantee }) =>
              `${trimmedImage} ${'namespace' in grantee ? grantee.namespace : ''}`,
          )
          .sort();

      it.each<[string, ForgetFilter, readonly string[]]>([
        [
          'an image by any of its names',
          { image: 'docker.io/library/busybox:2' },
          ['busybox team-a', 'busybox team-b'],
        ],
        ['a namespace', { namespace: 'team-a' }, ['busybox team-a', `${trimmed} team-a`]],
        [
          'a secret',
          { secret: { namespace: 'team-b', name: 'regcred' } },
          ['busybox team-b', `${trimmed} team-b`],
        ],
        ['what is old', { verifiedBefore: 2_000 }, ['busybox team-a', `${trimmed} team-a`]],
        ['all of it together', { image: 'busybox', verifiedBefore: 2_000 }, ['busybox team-a']],
        ['nothing without a filter', {}, []],
      ])('means %s', (_what, filter, expected) => {
        const before = namesOf(store.listGrants());
        expect(namesOf(store.forgetGrants(filter, { dryRun: true }).grants)).toEqual(expected);
        expect(namesOf(store.listGrants())).toEqual(before);
        expect(namesOf(store.forgetGrants(filter).grants)).toEqual(expected);
        expect(namesOf(store.listGrants())).toEqual(before.filter((name) => !expected.includes(name)));
        // Tracked all the same.
        expect(store.recordCount).toBe(2);
      });

      it('goes by the uid of an owner that is gone', () => {
        const owner = {
          kind: 'kubernetesSecret',
          namespace: 'team-a',
          name: 'regcred',
          uid: 'uid-team-a',
        } as const;
        expect(store.forgetOwner({ ...owner, uid: 'made anew' })).toBe(0);
        expect(store.forgetOwner({ ...owner, kind: 'kubernetesServiceAccount' })).toBe(0);
        expect(store.forgetOwner(owner)).toBe(2);
        expect(namesOf(store.listGrants())).toEqual(['busybox team-b', `${trimmed} team-b`]);
      });
    });

    describe('records that kubelet kept by repository and digest', () => {
      const digest = `sha256:${'d'.repeat(64)}`;
      const byDigest = `${trimmed}@${digest}`;
      const present = [{ id: imageRef, repoTags: [image], repoDigests: [byDigest] }];

      it('become those of the image that has the digest, which then is not preloaded under that name', () => {
        store.mergeCredentials(image, byDigest, { kubernetesSecrets: [secretOf('team-a')] });
        expect(store.matchImportedRecords(present)).toBe(1);
        expect(store.takeInventory(present)).toBe(true);
        expect(entry()).toEqual({ kubernetesSecrets: [secretOf('team-a')] });
        expect(store.isPreloaded(imageRef, trimmed)).toBe(false);
        expect(store.listPulledRecords()).toHaveLength(1);
        expect(store.matchImportedRecords(present)).toBe(0);
      });

      it('come on top of what is known, and take their name out of an inventory that was taken before', () => {
        store.takeInventory([...present, { id: otherRef, repoTags: ['busybox:1'], repoDigests: [] }]);
        const account = { namespace: 'team-b', name: 'default', uid: 'sa' };
        store.recordImagePulled(image, imageRef, { kubernetesSecrets: [secretOf('team-a')] });
        store.mergeCredentials(image, byDigest, { kubernetesSecrets: [secretOf('team-b')] });
        store.mergeCredentials(image, byDigest, { kubernetesServiceAccounts: [account] });
        expect(store.matchImportedRecords(present)).toBe(1);
        expect(entry()).toEqual({
          kubernetesSecrets: [secretOf('team-a'), secretOf('team-b')],
          kubernetesServiceAccounts: [account],
        });
        expect(store.isPreloaded(imageRef, trimmed)).toBe(false);
        expect(store.isPreloaded(otherRef, 'docker.io/library/busybox')).toBe(true);
      });

      it('stay where the node has no such image', () => {
        store.mergeCredentials(image, byDigest, { nodePodsAccessible: true });
        expect(store.matchImportedRecords([{ id: otherRef, repoTags: [image], repoDigests: [] }])).toBe(0);
        expect(store.pulledRecord(byDigest)).toBeDefined();
      });
    });

    describe('intents that an earlier process left', () => {
      it('become records without credentials where the runtime has the image by that name', () => {
        const digest = `reg.example.com/team-b/app@sha256:${hex}`;
        for (const left of [image, digest, 'busybox']) store.recordPullIntent(left);
        store.reconcilePullIntents([
          { id: imageRef, repoTags: [image], repoDigests: [] },
          { id: otherRef, repoTags: ['docker.io/library/busybox:latest'], repoDigests: [digest] },
        ]);
        expect(store.pulledRecord(imageRef)?.credentialMapping.size).toBe(0);
        expect(store.pulledRecord(otherRef)?.credentialMapping.size).toBe(0);
        // Kubelet compares texts: what is not listed under the very text stays an intent.
        expect(store.listPullIntents()).toEqual(['busybox']);
      });

      it('are left alone while this process pulls the image', () => {
        store.takeInventory([]);
        store.recordPullIntent(image);
        store.reconcilePullIntents([]);
        // This process is still pulling it.
        expect(store.listPullIntents()).toEqual([image]);
        store.recordImagePullFailed(image);
        expect(store.listPullIntents()).toEqual([]);
      });

      it('take nothing from a record that is there', () => {
        store.recordImagePulled(image, imageRef, { nodePodsAccessible: true });
        store.recordPullIntent(image);
        store.reconcilePullIntents([{ id: imageRef, repoTags: [image], repoDigests: [] }]);
        expect(entry()).toEqual({ nodePodsAccessible: true });
        expect(store.listPullIntents()).toEqual([]);
      });
    });

    describe('inventory', () => {
      const present = [
        { id: imageRef, repoTags: ['busybox:1'], repoDigests: [`quay.io/x/y@sha256:${hex}`] },
        { id: otherRef, repoTags: [], repoDigests: [] },
      ];

      it('holds what is on the node, by normalized repository, and content without a name', () => {
        expect(store.hasInventory).toBe(false);
        expect(store.takeInventory(present)).toBe(true);
        expect(store.hasInventory).toBe(true);
        expect(store.isPreloaded(hex, 'docker.io/library/busybox')).toBe(true);
        expect(store.isPreloaded(imageRef, 'quay.io/x/y')).toBe(true);
        expect(store.isPreloaded(imageRef, 'quay.io/x/z')).toBe(false);
        expect(store.isPreloaded(imageRef, '')).toBe(false);
        expect(store.isPreloaded(otherRef, '')).toBe(true);
      });

      it('is taken once', () => {
        store.takeInventory([]);
        expect(store.takeInventory(present)).toBe(false);
        expect(store.isPreloaded(imageRef, 'quay.io/x/y')).toBe(false);
      });

      it('keeps a name preloaded when the content is pulled under another one', () => {
        store.takeInventory(present);
        store.recordImagePulled(image, imageRef, { kubernetesSecrets: [secretOf('team-a')] });
        expect(store.isPreloaded(imageRef, 'docker.io/library/busybox')).toBe(true);
        expect(store.isPreloaded(imageRef, trimmed)).toBe(false);
      });

      it('loses one name when that is forgotten', () => {
        store.takeInventory(present);
        expect(store.forget(imageRef, 'busybox')).toBe(true);
        expect(store.isPreloaded(imageRef, 'docker.io/library/busybox')).toBe(false);
        expect(store.isPreloaded(imageRef, 'quay.io/x/y')).toBe(true);
      });
    });

    describe('pruning', () => {
      it('forgets images that left the node, their place in the inventory too', () => {
        store.takeInventory([{ id: otherRef, repoTags: ['busybox:1'], repoDigests: [] }]);
        store.recordImagePulled(image, imageRef, { nodePodsAccessible: true });
        expect(store.pruneUnknownRecords([], 1_001)).toBe(2);
        expect(store.listPulledRecords()).toEqual([]);
        expect(store.isPreloaded(otherRef, 'docker.io/library/busybox')).toBe(false);
      });

      it('keeps what the runtime has, however it writes the id', () => {
        store.recordImagePulled(image, imageRef, { nodePodsAccessible: true });
        expect(store.pruneUnknownRecords([hex], 1_001)).toBe(0);
        expect(entry()).toEqual({ nodePodsAccessible: true });
      });

      it('keeps what was written since the images were listed', () => {
        store.recordImagePulled(image, imageRef, { nodePodsAccessible: true });
        store.takeInventory([{ id: otherRef, repoTags: ['busybox:1'], repoDigests: [] }]);
        expect(store.pruneUnknownRecords([], 1_000)).toBe(0);
        expect(entry()).toEqual({ nodePodsAccessible: true });
        expect(store.isPreloaded(otherRef, 'docker.io/library/busybox')).toBe(true);
      });
    });

    it('lists records by imageRef', () => {
      store.recordImagePulled(image, otherRef, { nodePodsAccessible: true });
      store.recordImagePulled(image, imageRef, { nodePodsAccessible: true });
      expect(store.listPulledRecords().map((record) => record.imageRef)).toEqual([imageRef, otherRef]);
    });
  });
}
