import { describe, expect, it, onTestFinished } from 'vitest';
import { createOpenImages } from '../../../agent/access/bytes/open-images.ts';
import { makePolicy } from '../../../agent/access/record/policy.ts';
import { openRecordStore } from '../../../agent/records/sqlite/open.ts';
import { useStateDirectory } from '../../records/state-directory.ts';
import { openLedger, piece } from './scene.ts';

const NAME = 'public.example/base';
const image = { imageRef: piece('a'), names: [NAME] };

describe('an image is open to every pod', () => {
  const stateDir = useStateDirectory();
  const open = () => {
    const { store } = openRecordStore({ stateDir: stateDir(), onNotice: () => undefined });
    store.takeInventory([]);
    onTestFinished(() => store.close());
    return store;
  };
  const verifyAll = makePolicy('AlwaysVerify', []);
  const nobody = () => false;

  it('that the policy allows by its name', () => {
    const policy = makePolicy('NeverVerifyAllowlistedImages', [NAME]);
    const { isOpen } = createOpenImages(open(), policy, openLedger().ledger, nobody);
    expect(isOpen(image)).toBe(true);
    expect(isOpen({ ...image, names: ['public.example/other'] })).toBe(false);
  });

  it('that every pod was granted, once the registry that granted it has shown it', async () => {
    const store = open();
    store.mergeCredentials(NAME, image.imageRef, { nodePodsAccessible: true });
    const { ledger, has } = openLedger();
    const { isOpen } = createOpenImages(store, verifyAll, ledger, nobody);
    expect(isOpen(image)).toBe(false);
    has('a', [NAME], ['base']);
    await ledger.look();
    expect(isOpen(image)).toBe(true);
  });

  it('or that the operator trusts; but not one that somebody was granted', () => {
    const store = open();
    store.mergeCredentials(NAME, image.imageRef, { nodePodsAccessible: true });
    const { isOpen } = createOpenImages(
      store,
      verifyAll,
      openLedger().ledger,
      (repository) => repository === NAME,
    );
    expect(isOpen(image)).toBe(true);
    expect(isOpen({ imageRef: piece('b'), names: [NAME] })).toBe(false);
  });
});
