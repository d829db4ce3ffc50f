import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Doubt, denied } from '../../agent/access/verdict.ts';
import { createCensus } from '../../agent/enforcement/census.ts';
import { createFuse } from '../../agent/enforcement/fuse.ts';
import { createEnforcer } from '../../agent/enforcement/guard/enforcer.ts';
import type { EnforcementSettings } from '../../agent/enforcement/plan.ts';
import type { RuntimeContainer } from '../../agent/runtime/runtime.ts';

/** The defaults: --fuse-count 10, --fuse-share 0.2, --fuse-namespaces 2, --fuse-window 10m. */
const COUNT = 10;
const RIGHTFUL = 40;

const settings: EnforcementSettings = {
  mode: 'enforce',
  onUnverifiable: 'deny',
  unmanaged: 'audit',
  exemptNamespaces: new Set(),
  ownPodUid: '',
};
const refused = denied('registryRefused', '');

type Denied = { readonly container: RuntimeContainer; readonly doubt: Doubt };

function containerOf(namespace: string, n: number, doubt: Doubt): Denied {
  const id = `${namespace}-${n}`;
  const container: RuntimeContainer = {
    ...{ id, podSandboxId: `sandbox-${id}`, state: 'running', createdAt: 1n, imageRef: 'sha256:aa' },
    ...{ containerName: 'app', pod: { namespace, name: id, uid: `uid-${id}` }, attempt: 0 },
  };
  return { container, doubt };
}

function containersOf(doubt: Doubt, namespaces: number, of: number): Denied[] {
  return Array.from({ length: of }, (_, n) => containerOf(`${doubt}-${n % namespaces}`, n, doubt));
}

/** Enforces the denial of all of them, in this order; says who does not run any more. */
async function denyAll(everybody: readonly Denied[]) {
  const stopped = new Set<string>();
  let now = 0;
  const fuse = createFuse(
    { count: COUNT, share: 0.2, namespaces: 2, windowMs: 600_000 },
    { now: () => now, onOpen: () => undefined, onClose: () => undefined },
  );
  const census = createCensus(({ namespace }) => (namespace.startsWith('standing') ? 'standing' : 'none'));
  for (const { container } of everybody) census.seen(container);
  const enforce = createEnforcer({
    settings,
    fuse,
    stopper: {
      mustNotRun: async (id) => {
        stopped.add(id);
        return 'stopped';
      },
    },
    census,
  });
  for (const { container, doubt } of everybody) {
    now += 10;
    const judged = { container, preexisting: true, spec: undefined, kind: undefined, imageRef: 'sha256:aa' };
    await enforce({ ...judged, verdict: refused, doubt, durationMs: 1 }, { alreadyRuns: true });
  }
  const stoppedOf = (which: Doubt) =>
    everybody.filter(({ container, doubt }) => doubt === which && stopped.has(container.id)).length;
  return { rightful: stoppedOf('standing'), without: stoppedOf('none'), isOpen: fuse.isOpen() };
}

describe.each([2, 5, 20])('%i namespaces without a right, beside 40 rightful containers', (namespaces) => {
  it('have none of their containers running, and do not open the fuse', async () => {
    const thieves = containersOf('none', namespaces, 8 * namespaces);
    const { without, isOpen } = await denyAll(thieves);
    expect([without, isOpen]).toEqual([thieves.length, false]);
  });

  it('gain nothing when a registry refuses everybody: they are stopped, and at most --fuse-count others', async () => {
    const thieves = containersOf('none', namespaces, 8 * namespaces);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(8, 10, 20, 40), fc.integer(), async (rightfulNamespaces, seed) => {
        const rightful = containersOf('standing', rightfulNamespaces, RIGHTFUL);
        const { without, ...outcome } = await denyAll(shuffled([...thieves, ...rightful], seed));
        expect(without).toBe(thieves.length);
        expect(outcome).toEqual({ rightful: COUNT, isOpen: true });
      }),
      { numRuns: 30 },
    );
  });
});

describe('one namespace whose right was taken away', () => {
  it('cannot switch enforcement off by being denied often', async () => {
    const { rightful, isOpen } = await denyAll(containersOf('standing', 1, RIGHTFUL));
    expect([rightful, isOpen]).toEqual([RIGHTFUL, false]);
  });
});

/** A permutation that depends on nothing but the seed. */
function shuffled<T>(values: readonly T[], seed: number): T[] {
  const keyed = values.map((value, n) => ({ value, key: Math.imul(seed ^ (n + 1), 2_654_435_761) >>> 0 }));
  return keyed.sort((a, b) => a.key - b.key).map(({ value }) => value);
}
