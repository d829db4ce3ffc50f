import { describe, expect, it } from 'vitest';
import { blobOf, openLedger, piece, recordsInMemory } from './scene.ts';

const VICTIM = 'shared.example/victim/secret';
const ATTACKER = 'shared.example/attacker/claim';
const LATER = 'shared.example/other/app';

type Node = ReturnType<typeof openLedger>;

describe('a name at the registry that has shown the layers', () => {
  it('does not stand for them by their diff_ids in a config beside other blobs', async () => {
    const { ledger, has, pulled } = openLedger();
    pulled(VICTIM, ['base', 'app']);
    has('a', [VICTIM], ['base', 'app']);
    await ledger.look();
    has('b', [ATTACKER], ['base', 'app', 'mine'], [blobOf('base'), 'made up', blobOf('mine')]);
    pulled(ATTACKER, ['b', 'mine']);
    await ledger.look();
    expect(ledger.isWhollyShown(piece('a'), VICTIM)).toBe(true);
    expect(ledger.isWhollyShown(piece('b'), ATTACKER)).toBe(false);
    expect(ledger.notShown(piece('b'), ATTACKER)).toEqual([piece('app')]);
  });

  it('nor by the very config beside other blobs', async () => {
    const { ledger, has, pulled, state } = openLedger();
    pulled(VICTIM, ['base', 'app']);
    has('a', [VICTIM], ['base', 'app']);
    await ledger.look();
    // The runtime lists one image under both names; each has a manifest of its own.
    has('a', [VICTIM, ATTACKER], ['base', 'app']);
    state.manifestsAt.set(ATTACKER, ['made up', 'made up too']);
    await ledger.look();
    expect(ledger.isWhollyShown(piece('a'), VICTIM)).toBe(true);
    expect(ledger.notShown(piece('a'), ATTACKER)).toEqual([piece('base'), piece('app')]);
  });

  it('nor before the runtime has been seen to list it', async () => {
    const { ledger, has, pulled } = openLedger();
    pulled(VICTIM, ['base', 'app']);
    has('a', [VICTIM], ['base', 'app']);
    await ledger.look();
    expect(ledger.isWhollyShown(piece('a'), ATTACKER)).toBe(false);
  });

  it('nor by blobs in another order than the layers', async () => {
    const { ledger, has, pulled } = openLedger();
    pulled(VICTIM, ['base', 'app']);
    has('a', [VICTIM], ['base', 'app']);
    await ledger.look();
    has('b', [ATTACKER], ['base', 'app'], [blobOf('app'), blobOf('base')]);
    await ledger.look();
    expect(ledger.notShown(piece('b'), ATTACKER)).toEqual([piece('base'), piece('app')]);
  });

  it('nor while the pull of the one who has them is under way', async () => {
    const { ledger, has, pulled } = openLedger();
    pulled(VICTIM, ['app']);
    has('b', [ATTACKER], ['app'], ['made up']);
    await ledger.look();
    expect(ledger.notShown(piece('b'), ATTACKER)).toEqual([piece('app')]);
  });

  it('does by the blobs that unpack to them, at no registry’s expense', async () => {
    const { ledger, has, pulled } = openLedger();
    pulled(VICTIM, ['base', 'app']);
    has('a', [VICTIM], ['base', 'app']);
    await ledger.look();
    has('b', [LATER], ['base', 'more']);
    pulled(LATER, ['more']);
    await ledger.look();
    expect(ledger.isWhollyShown(piece('b'), LATER)).toBe(true);
  });

  it('does where one of several manifests there names them, in whatever order the runtime lists these', async () => {
    for (const isFirst of [true, false]) {
      const { ledger, has, pulled, state } = openLedger();
      pulled(VICTIM, ['app']);
      has('a', [VICTIM], ['app']);
      await ledger.look();
      state.earlierManifestsAt.set(LATER, [isFirst ? blobOf('app') : 'made up']);
      has('b', [LATER], ['app'], [isFirst ? 'made up' : blobOf('app')]);
      await ledger.look();
      expect(ledger.isWhollyShown(piece('b'), LATER)).toBe(true);
    }
  });

  it('does not stand for one layer because the registry has served another', async () => {
    const { ledger, has, pulled } = openLedger();
    pulled(VICTIM, ['base', 'app']);
    has('a', [VICTIM], ['base', 'app']);
    await ledger.look();
    has('b', [LATER], ['base', 'app'], ['base, packed otherwise', 'made up']);
    await ledger.look();
    ledger.shown(piece('b'), LATER, [piece('base')]);
    expect(ledger.notShown(piece('b'), LATER)).toEqual([piece('app')]);
    expect(ledger.isWhollyShown(piece('b'), LATER)).toBe(false);
  });

  it('does once the registry has served what it names there', async () => {
    const { ledger, has, pulled } = openLedger();
    pulled(VICTIM, ['app']);
    has('a', [VICTIM], ['app']);
    await ledger.look();
    has('b', [LATER], ['app'], ['app, packed otherwise']);
    await ledger.look();
    expect(ledger.notShown(piece('b'), LATER)).toEqual([piece('app')]);
    ledger.shown(piece('b'), LATER, [piece('app')]);
    expect(ledger.isWhollyShown(piece('b'), LATER)).toBe(true);
  });
});

describe('where containerd drops the blobs of layers once they are unpacked', () => {
  it('what was new with an image was unpacked from what its manifest names', async () => {
    const { ledger, has, dropped } = openLedger();
    dropped(['base', 'app']);
    has('a', [VICTIM], ['base', 'app']);
    await ledger.look();
    expect(ledger.isWhollyShown(piece('a'), VICTIM)).toBe(true);
  });

  it('who names the same blob for a layer as an image that has unpacked it has the layer; another blob does not', async () => {
    const { ledger, has, dropped } = openLedger();
    dropped(['base', 'app']);
    has('a', [VICTIM], ['base', 'app']);
    await ledger.look();
    has('b', [LATER], ['base', 'more']);
    has('c', [ATTACKER], ['base', 'app'], ['made up', 'made up too']);
    await ledger.look();
    expect(ledger.isWhollyShown(piece('b'), LATER)).toBe(true);
    expect(ledger.notShown(piece('c'), ATTACKER)).toEqual([piece('base'), piece('app')]);
  });

  it('who names the same blob as an image that does not match has nothing', async () => {
    const { ledger, has, dropped } = openLedger();
    dropped(['app']);
    has('a', [VICTIM], ['app']);
    await ledger.look();
    has('b', [ATTACKER], ['app'], ['made up']);
    await ledger.look();
    has('c', [`${ATTACKER}-again`], ['app'], ['made up']);
    await ledger.look();
    expect(ledger.notShown(piece('c'), `${ATTACKER}-again`)).toEqual([piece('app')]);
  });

  it('who is believed under one manifest lends nothing to another of the same name', async () => {
    const own = 'attacker.example/app';
    // With a note on the layer of the other, and without any.
    for (const withoutNotes of [['more'], ['base', 'more']]) {
      const { ledger, has, pulled, dropped, state } = openLedger();
      dropped(withoutNotes);
      pulled(
        VICTIM,
        ['base', 'more'].filter((layer) => !withoutNotes.includes(layer)),
      );
      has('a', [VICTIM], ['base']);
      await ledger.look();
      has('b', [own], ['base', 'more']);
      await ledger.look();
      state.earlierManifestsAt.set(own, ['made up', blobOf('more')]);
      await ledger.look();
      has('c', [ATTACKER], ['base', 'more'], ['made up', blobOf('more')]);
      await ledger.look();
      expect(ledger.notShown(piece('c'), ATTACKER), withoutNotes.join()).toContain(piece('base'));
    }
  });

  it.each([
    ['its image does not tell its layers', (node: Node) => node.state.unreadable.add(piece('a'))],
    ['its manifest cannot be read', (node: Node) => node.state.manifestsAt.set(VICTIM, undefined)],
    ['it has no manifest', (node: Node) => node.state.imported.add('a')],
  ])('of two that come at once neither is believed where of one %s', async (_, make) => {
    const node = openLedger();
    const { ledger, has, dropped, state, minutes } = node;
    dropped(['app']);
    make(node);
    has('a', [VICTIM], ['app']);
    has('b', [ATTACKER], ['app'], ['made up']);
    await ledger.look();
    state.unreadable.clear();
    minutes(10);
    await ledger.look();
    ledger.shown(piece('a'), VICTIM, [piece('a'), piece('app')]);
    expect(ledger.notShown(piece('b'), ATTACKER)).toContain(piece('app'));
  });

  it('of two that come at once with another blob for one layer neither is believed', async () => {
    const { ledger, has, dropped } = openLedger();
    dropped(['app']);
    has('a', [VICTIM], ['app']);
    has('b', [ATTACKER], ['app'], ['made up']);
    await ledger.look();
    expect(ledger.notShown(piece('a'), VICTIM)).toEqual([piece('app')]);
    expect(ledger.notShown(piece('b'), ATTACKER)).toEqual([piece('app')]);
  });
});

describe('what was compared', () => {
  it('is on record: after a restart no manifest is read again, and what did not match still does not', async () => {
    const records = recordsInMemory();
    const before = openLedger(records);
    before.pulled(VICTIM, ['app']);
    before.has('a', [VICTIM], ['app']);
    await before.ledger.look();
    before.has('b', [ATTACKER], ['app'], ['made up']);
    await before.ledger.look();
    before.minutes(10);
    await before.ledger.look();

    const after = openLedger(records);
    after.pulled(VICTIM, ['app']);
    after.has('a', [VICTIM], ['app']);
    await after.ledger.look();
    expect(after.state.manifests).toBe(0);
    expect(after.ledger.isWhollyShown(piece('a'), VICTIM)).toBe(true);
    after.has('b', [ATTACKER], ['app'], ['made up']);
    await after.ledger.look();
    expect(after.ledger.notShown(piece('b'), ATTACKER)).toEqual([piece('app')]);
  });

  it('is forgotten with the image', async () => {
    const records = recordsInMemory();
    const { ledger, has, loses } = openLedger(records);
    has('a', [VICTIM], ['app']);
    await ledger.look();
    expect(records.matched.isMatched(piece('a').slice('sha256:'.length), VICTIM)).toBe(true);
    loses('a');
    await ledger.keepOnly([]);
    expect(records.matched.isMatched(piece('a').slice('sha256:'.length), VICTIM)).toBe(false);
  });

  it('needs no manifest where the runtime goes by the blobs itself, nor for what was imported under a tag', async () => {
    const crio = openLedger();
    crio.has('a', [VICTIM], ['app']);
    await crio.ledger.look();
    expect(crio.ledger.isWhollyShown(piece('a'), VICTIM)).toBe(true);
    expect(crio.state.manifests).toBe(0);

    const { ledger, has, pulled, state } = openLedger();
    pulled(VICTIM, []);
    state.imported.add('a');
    has('a', [VICTIM], ['app']);
    await ledger.look();
    expect(ledger.isWhollyShown(piece('a'), VICTIM)).toBe(true);
  });

  it('a name without a digest is no import where a pull has noted it: the digest comes a moment later', async () => {
    const { ledger, has, pulled, state } = openLedger();
    pulled(VICTIM, ['app']);
    has('a', [VICTIM], ['app']);
    await ledger.look();
    state.imported.add('b');
    has('b', [ATTACKER], ['app'], ['made up']);
    pulled(ATTACKER, ['b']);
    await ledger.look();
    expect(ledger.isWhollyShown(piece('b'), ATTACKER)).toBe(false);
    state.imported.delete('b');
    await ledger.look();
    expect(ledger.notShown(piece('b'), ATTACKER)).toEqual([piece('app')]);
  });

  it('and whoever names the blobs that unpack to the layers has them once the digest is there', async () => {
    const { ledger, has, pulled, state } = openLedger();
    pulled(VICTIM, ['app']);
    has('a', [VICTIM], ['app']);
    await ledger.look();
    state.imported.add('b');
    has('b', [LATER], ['app']);
    pulled(LATER, ['b']);
    await ledger.look();
    state.imported.delete('b');
    await ledger.look();
    expect(ledger.isWhollyShown(piece('b'), LATER)).toBe(true);
  });

  it('a manifest that is not there, or of another image, stands for nothing', async () => {
    const { ledger, has, pulled, state } = openLedger();
    pulled(VICTIM, ['app']);
    state.manifestsAt.set(VICTIM, undefined);
    has('a', [VICTIM], ['app']);
    await ledger.look();
    expect(ledger.notShown(piece('a'), VICTIM)).toEqual([piece('app')]);
  });
});
