import { beforeEach, describe, expect, it } from 'vitest';
import { createHousekeeping, type Housekeeping } from '../../agent/records/housekeeping.ts';
import type { RecordStore } from '../../agent/records/record-store.ts';
import { openStanding, type Standing } from '../../agent/records/standing.ts';
import type { PresentImage } from '../../agent/records/types.ts';
import { makeRowsInMemory, makeStoreInMemory } from './store-in-memory.ts';

const digest = `sha256:${'d'.repeat(64)}`;
const byDigest = `reg.example.com/team-a/app@${digest}`;
const image: PresentImage = {
  id: 'a'.repeat(64),
  repoTags: ['reg.example.com/team-a/app:1'],
  repoDigests: [byDigest],
};

let store: RecordStore;
let standing: Standing;
let listed: readonly PresentImage[];
let clock: number;
let housekeeping: Housekeeping;

beforeEach(() => {
  clock = 1_000;
  listed = [image];
  store = makeStoreInMemory(() => clock);
  standing = openStanding(makeRowsInMemory());
  housekeeping = createHousekeeping({
    store,
    listImages: async () => listed,
    existingImages: 'preloaded',
    now: () => clock,
    onRecordStoreError: (error) => {
      throw error;
    },
    onInventoryTaken: () => undefined,
    onPrune: (imageRefs) => standing.prune(imageRefs),
  });
});

describe('what an import took from a kubelet that goes by repository and digest', () => {
  it('keeps the image from counting as preloaded when the agent begins', async () => {
    store.mergeCredentials('reg.example.com/team-a/app:1', byDigest, { kubernetesSecrets: [] });
    store.mergeCredentials('reg.example.com/team-a/app:1', byDigest, {
      kubernetesSecrets: [{ namespace: 'team-a', name: 's', uid: 'u', credentialHash: 'h' }],
    });
    await housekeeping.begin();
    expect(store.isPreloaded(image.id, 'reg.example.com/team-a/app')).toBe(false);
    expect(store.pulledRecord(image.id)?.credentialMapping.size).toBe(1);
  });

  it('finds its image also while the agent runs', async () => {
    await housekeeping.begin();
    expect(store.isPreloaded(image.id, 'reg.example.com/team-a/app')).toBe(true);
    store.mergeCredentials('reg.example.com/team-a/app:1', byDigest, { nodePodsAccessible: true });
    await housekeeping.prune();
    expect(store.isPreloaded(image.id, 'reg.example.com/team-a/app')).toBe(false);
    expect(store.pulledRecord(image.id)).toBeDefined();
  });
});

it('records, inventory and standing leave with an image that was missing twice', async () => {
  await housekeeping.begin();
  const entry = { namespace: 'team-a', imageRef: image.id, trimmedImage: 'reg.example.com/team-a/app' };
  standing.add({ ...entry, since: clock, by: 'granted' });
  clock = 2_000;
  await housekeeping.prune();
  listed = [];
  expect(await housekeeping.prune()).toBe(0);
  expect(standing.list()).toHaveLength(1);
  expect(await housekeeping.prune()).toBe(1);
  expect(standing.list()).toEqual([]);
  expect(store.isPreloaded(image.id, 'reg.example.com/team-a/app')).toBe(false);
});
