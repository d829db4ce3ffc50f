import { describe, expect, it } from 'vitest';
import type { NodeImage } from '../../../agent/access/bytes/pieces.ts';
import { type Circumstances, createProvenance } from '../../../agent/access/bytes/provenance.ts';

const VICTIM = 'victim.example';
const ATTACKER = 'attacker.example';

const image = (config: string, registries: readonly string[], layers: readonly string[]): NodeImage => ({
  imageRef: config,
  registries,
  names: registries.map((registry) => `${registry}/app`),
  pieces: { config, layers },
});

/** Provenance over a record of its own: `brought` is what counts for good. */
function scene(hasNotes = true) {
  const known = new Map<string, string[]>();
  const brought: string[] = [];
  const clock = { now: 0 };
  const provenance = createProvenance({
    isKnown: (piece) => known.has(piece),
    know(registry, pieces) {
      for (const piece of pieces) known.set(piece, [...(known.get(piece) ?? []), registry]);
    },
    confirm: (registry, pieces) => void brought.push(...pieces.map((piece) => `${registry} ${piece}`)),
    now: () => clock.now,
  });
  return {
    brought,
    clock,
    known: (piece: string) => known.get(piece) ?? [],
    isBroughtLately: provenance.isBroughtLately,
    sweep: provenance.sweep,
    arrived: (
      images: readonly NodeImage[],
      hosts: Record<string, readonly string[]> = {},
      isComplete = true,
    ) => {
      const pulledFrom: Circumstances['pulledFrom'] = new Map(
        hasNotes ? Object.entries(hosts).map(([piece, names]) => [piece, new Set(names)] as const) : [],
      );
      return provenance.arrived(images, { isComplete, pulledFrom });
    },
  };
}

describe('a new piece, where the runtime notes whose pulls had it in their hands', () => {
  it('was brought by the only one, for good and at once', () => {
    const { arrived, brought, isBroughtLately } = scene();
    arrived([image('a', [VICTIM], ['app'])], { a: [VICTIM], app: [VICTIM] });
    expect(brought).toEqual([`${VICTIM} a`, `${VICTIM} app`]);
    expect(isBroughtLately(VICTIM, 'app')).toBe(false);
  });

  it('is nobody’s while another pull has it, though that one’s image is not listed yet', () => {
    const { arrived, brought, isBroughtLately, known } = scene();
    const hosts = { b: [ATTACKER], mine: [ATTACKER], app: [VICTIM, ATTACKER] };
    arrived([image('b', [ATTACKER], ['mine', 'app'])], hosts);
    expect(brought).toEqual([`${ATTACKER} b`, `${ATTACKER} mine`]);
    expect(isBroughtLately(ATTACKER, 'app')).toBe(false);
    expect(known('app')).toEqual([ATTACKER, VICTIM]);
  });

  it('was brought by the one whose pull is under way, where another is listed first and never had it', () => {
    const { arrived, brought, isBroughtLately } = scene();
    arrived([image('b', [ATTACKER], ['app'])], { b: [ATTACKER], app: [VICTIM] });
    expect(brought).toEqual([`${ATTACKER} b`, `${VICTIM} app`]);
    expect(isBroughtLately(ATTACKER, 'app')).toBe(false);
  });

  it('was brought by the one that pulled it, of several that came under one look', () => {
    const { arrived, brought } = scene();
    arrived([image('a', [VICTIM], ['app']), image('b', [ATTACKER], ['app'])], { app: [VICTIM] }, false);
    expect(brought).toEqual([`${VICTIM} app`]);
  });

  it('stays with whom it is proven of, whoever names it within the time of a pull', () => {
    const { arrived, brought, clock } = scene();
    arrived([image('a', [VICTIM], ['app'])], { a: [VICTIM], app: [VICTIM] });
    clock.now = 1_000;
    expect(arrived([image('b', [ATTACKER], ['app'])], { app: [VICTIM, ATTACKER] })).toEqual([]);
    expect(brought).toContain(`${VICTIM} app`);
    expect(brought).not.toContain(`${ATTACKER} app`);
  });

  it('is believed of a registry with a port for as long as no other brings it: notes tell no port', () => {
    const { arrived, brought, isBroughtLately, sweep, clock } = scene();
    const ported = 'registry.example:5000';
    arrived([image('a', [ported], ['app'])], { a: ['registry.example'], app: ['registry.example'] });
    expect(brought).toEqual([]);
    expect(isBroughtLately(ported, 'app')).toBe(true);
    clock.now = 600_000;
    sweep();
    expect(brought).toEqual([`${ported} a`, `${ported} app`]);
  });

  it('is nobody’s between two registries of one host name', () => {
    const { arrived, isBroughtLately } = scene();
    const [one, other] = ['localhost:30001', 'localhost:30002'];
    arrived([image('a', [one], ['app']), image('b', [other], ['app'])], { app: ['localhost'] });
    expect([isBroughtLately(one, 'app'), isBroughtLately(other, 'app')]).toEqual([false, false]);
  });

  it('knows an IPv6 registry by its address', () => {
    const { arrived, isBroughtLately } = scene();
    arrived([image('a', ['[::1]:5000'], ['app'])], { app: ['::1'] });
    expect(isBroughtLately('[::1]:5000', 'app')).toBe(true);
  });
});

describe('a new piece, where the runtime notes nothing', () => {
  it('counts for the only registry that it came under, for good once a pull would have ended', () => {
    const { arrived, brought, isBroughtLately, sweep, clock } = scene(false);
    arrived([image('a', [VICTIM], ['app'])]);
    expect(isBroughtLately(VICTIM, 'app')).toBe(true);
    clock.now = 599_999;
    sweep();
    expect(brought).toEqual([]);
    clock.now = 600_000;
    sweep();
    expect(brought).toEqual([`${VICTIM} a`, `${VICTIM} app`]);
  });

  it('is nobody’s once a second registry brings it within the time of a pull', () => {
    const { arrived, isBroughtLately, clock, sweep, brought } = scene(false);
    arrived([image('a', [VICTIM], ['app'])]);
    clock.now = 599_999;
    expect(arrived([image('b', [ATTACKER], ['app'])])).toEqual(['app']);
    expect([isBroughtLately(VICTIM, 'app'), isBroughtLately(ATTACKER, 'app')]).toEqual([false, false]);
    clock.now = 600_000;
    sweep();
    expect(brought).toEqual([`${VICTIM} a`]);
  });

  it('is nobody’s where it came under two at once, without a name, or beside what cannot be read', () => {
    const { arrived, isBroughtLately } = scene(false);
    arrived([image('a', [VICTIM, ATTACKER], ['two'])]);
    arrived([image('b', [], ['none'])]);
    arrived([image('c', [VICTIM], ['beside'])], {}, false);
    for (const piece of ['two', 'none', 'beside']) expect(isBroughtLately(VICTIM, piece), piece).toBe(false);
    expect(isBroughtLately('', 'none')).toBe(false);
  });

  it('was there before is fetched from nobody, though it comes under one registry only', () => {
    const { arrived, isBroughtLately } = scene(false);
    arrived([image('a', [], ['app'])]);
    arrived([image('b', [ATTACKER], ['app'])]);
    expect(isBroughtLately(ATTACKER, 'app')).toBe(false);
  });
});
