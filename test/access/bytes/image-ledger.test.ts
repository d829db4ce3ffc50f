import { describe, expect, it } from 'vitest';
import { RuntimeError } from '../../../agent/errors.ts';
import { openLedger, piece, recordsInMemory } from './scene.ts';

const VICTIM = 'victim.example/secret';
const ATTACKER = 'attacker.example/claim';

describe('which registry has shown an image', () => {
  it('the one under which it came to the node, when all of it was new', async () => {
    const { ledger, has } = openLedger();
    has('a', [VICTIM], ['base', 'app']);
    await ledger.look();
    expect(ledger.isWhollyShown(piece('a'), VICTIM)).toBe(true);
    expect(ledger.isWhollyShown(piece('a'), ATTACKER)).toBe(false);
  });

  it('not the one that names what was there already: by manifest digest, image id, diff_ids or a layer among its own', async () => {
    const { ledger, has, minutes } = openLedger();
    has('a', [VICTIM], ['base', 'app']);
    await ledger.look();
    minutes(10);
    has('a', [VICTIM, ATTACKER], ['base', 'app']);
    has('own config', [ATTACKER], ['base', 'app']);
    has('own lowest layer', [ATTACKER], ['mine', 'app']);
    await ledger.look();
    for (const config of ['a', 'own config', 'own lowest layer'])
      expect(ledger.isWhollyShown(piece(config), ATTACKER), config).toBe(false);
    expect(ledger.notShown(piece('own lowest layer'), ATTACKER)).toEqual([piece('app')]);
    expect(ledger.isWhollyShown(piece('a'), VICTIM)).toBe(true);
  });

  it('of two repositories of one registry the second shares what the first brought', async () => {
    const { ledger, has } = openLedger();
    has('a', ['shared.example/team-a/app'], ['base', 'app']);
    await ledger.look();
    has('b', ['shared.example/team-b/app'], ['base', 'other']);
    await ledger.look();
    expect(ledger.isWhollyShown(piece('b'), 'shared.example/team-b/app')).toBe(true);
  });

  it('what came under several at once is nobody’s, the rest is of whoever alone can have brought it', async () => {
    const { ledger, has } = openLedger();
    has('a', [VICTIM], ['base', 'app']);
    has('b', [ATTACKER], ['base', 'mine']);
    await ledger.look();
    expect(ledger.notShown(piece('a'), VICTIM)).toEqual([piece('base')]);
    expect(ledger.notShown(piece('b'), ATTACKER)).toEqual([piece('base')]);
  });

  it('nobody has, of what came together with an image that does not tell its pieces', async () => {
    const { ledger, has, state } = openLedger();
    has('a', [VICTIM], ['app']);
    has('b', [ATTACKER], ['app', 'mine']);
    state.unreadable.add(piece('a'));
    await ledger.look();
    expect(ledger.notShown(piece('b'), ATTACKER)).toHaveLength(3);
    state.unreadable.clear();
    await ledger.look();
    expect(ledger.notShown(piece('a'), VICTIM)).toEqual([piece('app')]);
  });

  it('with `always` only the one that has served the bytes to us, over a restart as well', async () => {
    const records = recordsInMemory();
    const first = openLedger(records);
    first.has('a', [VICTIM], ['app']);
    await first.ledger.look();
    first.minutes(11);
    await first.ledger.look();
    const { ledger, has } = openLedger({ ...records, believesNew: false });
    has('a', [VICTIM], ['app']);
    await ledger.look();
    expect(ledger.isWhollyShown(piece('a'), VICTIM)).toBe(false);
    ledger.shown(piece('a'), VICTIM, [piece('a'), piece('app')]);
    expect(ledger.isWhollyShown(piece('a'), VICTIM)).toBe(true);
  });
});

describe('a second registry that brings the same', () => {
  it('within the time of a pull takes the first one’s word away, and what rests on it is judged again', async () => {
    const { ledger, has, minutes, inDoubt } = openLedger();
    has('b', [ATTACKER], ['app', 'mine']);
    await ledger.look();
    expect(ledger.isWhollyShown(piece('b'), ATTACKER)).toBe(true);
    minutes(9);
    has('a', [VICTIM], ['app']);
    await ledger.look();
    expect(ledger.notShown(piece('b'), ATTACKER)).toEqual([piece('app')]);
    expect(ledger.notShown(piece('a'), VICTIM)).toEqual([piece('app')]);
    expect(inDoubt.flat().sort()).toEqual([piece('a'), piece('b')].sort());
    expect(ledger.doubts()).toBe(1);
  });

  it('later than that takes nothing away', async () => {
    const { ledger, has, minutes, inDoubt } = openLedger();
    has('a', [VICTIM], ['app']);
    await ledger.look();
    minutes(10);
    has('b', [ATTACKER], ['app']);
    await ledger.look();
    expect(ledger.isWhollyShown(piece('a'), VICTIM)).toBe(true);
    expect(ledger.isWhollyShown(piece('b'), ATTACKER)).toBe(false);
    expect(inDoubt).toEqual([]);
  });
});

describe('what the runtime notes about pulls', () => {
  it('keeps a layer from the first that is listed while another registry’s pull is under way', async () => {
    const { ledger, has, pulled } = openLedger();
    pulled('victim.example/secret', ['app']);
    pulled('attacker.example/claim', ['b', 'mine', 'app']);
    has('b', [ATTACKER], ['mine', 'app']);
    await ledger.look();
    expect(ledger.notShown(piece('b'), ATTACKER)).toEqual([piece('app')]);
    expect([...ledger.hostsOf(piece('app'))].sort()).toEqual(['attacker.example', 'victim.example']);
  });

  it('is good over a restart within the time of a pull, and whoever names it later changes nothing', async () => {
    const records = recordsInMemory();
    const before = openLedger(records);
    before.pulled('victim.example/secret', ['a', 'app']);
    before.has('a', [VICTIM], ['app']);
    await before.ledger.look();
    const after = openLedger(records);
    after.has('a', [VICTIM], ['app']);
    after.has('b', [ATTACKER], ['app']);
    await after.ledger.look();
    expect(after.ledger.isWhollyShown(piece('a'), VICTIM)).toBe(true);
    expect(after.ledger.isWhollyShown(piece('b'), ATTACKER)).toBe(false);
    expect(after.inDoubt).toEqual([]);
  });

  it('is done without where it cannot be read, but not while the runtime is away', async () => {
    const { ledger, has, state } = openLedger();
    has('a', [VICTIM], ['app']);
    state.notesFail = new RuntimeError('unreachable', 'no socket');
    await expect(ledger.look()).rejects.toThrow('no socket');
    expect(ledger.isWhollyShown(piece('a'), VICTIM)).toBe(false);
    state.notesFail = new RuntimeError('failed', 'a message too large');
    await ledger.look();
    expect(ledger.isWhollyShown(piece('a'), VICTIM)).toBe(true);
  });
});

describe('what is remembered', () => {
  it('a restart makes nothing new that was there before', async () => {
    const records = recordsInMemory();
    const before = openLedger(records);
    before.has('a', [VICTIM], ['app']);
    await before.ledger.look();
    const after = openLedger(records);
    after.has('b', [ATTACKER], ['app', 'mine']);
    await after.ledger.look();
    expect(after.ledger.notShown(piece('b'), ATTACKER)).toEqual([piece('app')]);
  });

  it('what was there for longer than a pull takes is shown for good, before the images are listed again', async () => {
    const records = recordsInMemory();
    const before = openLedger(records);
    before.has('a', [VICTIM], ['app']);
    await before.ledger.look();
    before.minutes(10);
    await before.ledger.look();
    const after = openLedger(records);
    after.has('a', [VICTIM], ['app']);
    expect(await after.ledger.isOnRecord(piece('a'), VICTIM)).toBe(true);
    expect(await after.ledger.isOnRecord(piece('a'), ATTACKER)).toBe(false);
    expect(after.state.lists).toBe(0);
  });

  it('an image that comes just before another one leaves has brought nothing of it', async () => {
    const { ledger, has, loses } = openLedger();
    has('a', [VICTIM], ['app']);
    await ledger.look();
    has('b', [ATTACKER], ['app']);
    loses('a');
    await ledger.keepOnly([]);
    expect(ledger.notShown(piece('b'), ATTACKER)).toEqual([piece('app')]);
  });

  it('the layers of a container outlive the names of its image', async () => {
    const { ledger, has, loses } = openLedger();
    has('a', [VICTIM], ['app']);
    await ledger.look();
    loses('a');
    await ledger.keepOnly([piece('a')]);
    has('b', [ATTACKER], ['app']);
    await ledger.look();
    expect(ledger.notShown(piece('b'), ATTACKER)).toEqual([piece('app')]);
  });

  it('what left the node and comes again is new again', async () => {
    const { ledger, has, loses, minutes } = openLedger();
    has('a', [VICTIM], ['app']);
    await ledger.look();
    loses('a');
    await ledger.keepOnly([]);
    minutes(10);
    has('b', ['other.example/app'], ['app']);
    await ledger.look();
    expect(ledger.isWhollyShown(piece('b'), 'other.example/app')).toBe(true);
  });
});

describe('what looking costs', () => {
  it('whoever asks while a list is under way shares the next one, and known images are not read again', async () => {
    const { ledger, has, state } = openLedger();
    has('a', [VICTIM], ['app']);
    await Promise.all(Array.from({ length: 50 }, () => ledger.notice(piece('a'))));
    expect(state.lists).toBeLessThanOrEqual(2);
    expect(state.reads).toBe(1);
  });
});
