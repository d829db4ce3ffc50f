import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RecordStoreError } from '../../agent/errors.ts';
import type { RecordStore } from '../../agent/records/record-store.ts';
import type { ImagePullCredentials, ImagePullSecret } from '../../agent/records/types.ts';

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
        expect(store.pulledRecord(hex)).toBe(store.pulledRecord(imageRef));
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
