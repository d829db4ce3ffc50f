import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { allowed, type Doubt, denied, unverifiable, type Verdict } from '../../agent/access/verdict.ts';
import { createCensus } from '../../agent/enforcement/census.ts';
import { createFuse } from '../../agent/enforcement/fuse.ts';
import { keepFuse } from '../../agent/enforcement/fuse-keeper.ts';
import { createEnforcer } from '../../agent/enforcement/guard/enforcer.ts';
import { createGuard } from '../../agent/enforcement/guard/guard.ts';
import { createHandover } from '../../agent/enforcement/handover.ts';
import type { EnforcementSettings } from '../../agent/enforcement/plan.ts';
import type { RuntimeContainer } from '../../agent/runtime/runtime.ts';
import { webPod } from './guard/scene.ts';

/** The defaults: --fuse-count 10, --fuse-share 0.2, --fuse-namespaces 2, --fuse-window 10m. */
const COUNT = 10;
const FUSE = { count: COUNT, share: 0.2, namespaces: 2, windowMs: 600_000 };
const RIGHTFUL = 40;

const settings: EnforcementSettings = {
  mode: 'enforce',
  onUnverifiable: 'deny',
  unmanaged: 'audit',
  enforceNamespaces: ['*'],
  exemptNamespaces: [],
  revokeRunning: 'report',
  ownPodUid: '',
};
const refused = denied('registryRefused', '');
const down = unverifiable('registryUnavailable', '');

type Subject = { readonly container: RuntimeContainer; readonly doubt: Doubt };

function containerOf(namespace: string, n: number, doubt: Doubt): Subject {
  const id = `${namespace}-${n}`;
  const container: RuntimeContainer = {
    ...{ id, podSandboxId: `sandbox-${id}`, state: 'running', createdAt: 1n, imageRef: 'sha256:aa' },
    ...{ containerName: 'app', pod: { namespace, name: id, uid: `uid-${id}` }, attempt: 0 },
  };
  return { container, doubt };
}

function containersOf(doubt: Doubt, namespaces: number, of: number): Subject[] {
  return Array.from({ length: of }, (_, n) => containerOf(`${doubt}-${n % namespaces}`, n, doubt));
}

/** Enforces the verdict on all of them, in this order; says how many of which do not run any more. */
async function enforceAll(
  everybody: readonly Subject[],
  verdict: Verdict,
  { alreadyRuns }: { readonly alreadyRuns: boolean },
) {
  const stopped = new Set<string>();
  let now = 0;
  const fuse = createFuse(FUSE, { now: () => now, onOpen: () => undefined, onClose: () => undefined });
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
    const judged = {
      container,
      preexisting: alreadyRuns,
      spec: undefined,
      kind: undefined,
      imageRef: 'sha256:aa',
    };
    await enforce({ ...judged, verdict, doubt, durationMs: 1 }, { alreadyRuns });
  }
  const stoppedOf = (which: Doubt) =>
    everybody.filter(({ container, doubt }) => doubt === which && stopped.has(container.id)).length;
  return { rightful: stoppedOf('standing'), without: stoppedOf('none'), isOpen: fuse.isOpen() };
}

const denyAll = (everybody: readonly Subject[]) => enforceAll(everybody, refused, { alreadyRuns: true });

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

describe('a registry that answers nobody', () => {
  const everybody = [...containersOf('standing', 10, RIGHTFUL), ...containersOf('none', 10, RIGHTFUL)];

  it('stops nothing that runs and has standing, and everything else', async () => {
    const outcome = await enforceAll(everybody, down, { alreadyRuns: true });
    expect(outcome).toEqual({ rightful: 0, without: RIGHTFUL, isOpen: false });
  });

  it('keeps from starting --fuse-count of what has standing, and everything else', async () => {
    const outcome = await enforceAll(everybody, down, { alreadyRuns: false });
    expect(outcome).toEqual({ rightful: COUNT, without: RIGHTFUL, isOpen: true });
  });
});

describe('the end of a registry that refuses everybody', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('has what the fuse let run judged again, and left running', async () => {
    let isRefusing = true;
    const stopped: string[] = [];
    const outcomes: string[] = [];
    const doubtOf = () => 'standing' as const;
    const census = createCensus(doubtOf);
    const fuse = keepFuse(FUSE, {
      state: { load: () => undefined, save: () => undefined, lastReset: () => undefined },
      onOpen: () => outcomes.push('open'),
      onClose() {
        outcomes.push('closed');
        guard.fuseClosed();
      },
    });
    const guard = createGuard({
      pods: { getPod: async ({ namespace }) => ({ ...webPod, namespace }) },
      configSourceOf: async () => 'api',
      runtime: { imageStatus: async () => undefined, mountedImages: async () => [] },
      ensureAccess: async () => ({
        verdict: isRefusing ? refused : allowed('repullSucceeded', ''),
        doubt: 'standing',
      }),
      reverify: async () => ({ verdict: refused, doubt: 'standing' }),
      doubtOf,
      handover: createHandover(),
      census,
      enforce: createEnforcer({
        settings,
        fuse,
        stopper: {
          mustNotRun: async (id) => {
            stopped.push(id);
            return 'stopped';
          },
        },
        census,
      }),
      report: {
        verdict: () => undefined,
        enforced: (_judgement, enforcement) => outcomes.push(enforcement?.outcome ?? 'allowed'),
      },
      existing: { delayMs: 0, atOnce: 2 },
      patienceMs: undefined,
    });
    for (const { container } of containersOf('standing', 10, RIGHTFUL)) {
      guard.containerSeen(container, { preexisting: true });
    }
    await vi.advanceTimersByTimeAsync(1_000);
    expect([stopped.length, count(outcomes, 'fuseOpen')]).toEqual([COUNT, RIGHTFUL - COUNT]);
    isRefusing = false;
    await vi.advanceTimersByTimeAsync(FUSE.windowMs + 2_000);
    expect([stopped.length, count(outcomes, 'allowed')]).toEqual([COUNT, RIGHTFUL - COUNT]);
    expect([count(outcomes, 'open'), count(outcomes, 'closed')]).toEqual([1, 1]);
    await guard.close(0);
    fuse.close();
  });
});

function count(words: readonly string[], word: string): number {
  return words.filter((one) => one === word).length;
}

/** A permutation that depends on nothing but the seed. */
function shuffled<T>(values: readonly T[], seed: number): T[] {
  const keyed = values.map((value, n) => ({ value, key: Math.imul(seed ^ (n + 1), 2_654_435_761) >>> 0 }));
  return keyed.sort((a, b) => a.key - b.key).map(({ value }) => value);
}
