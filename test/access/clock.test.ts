import { afterEach, describe, expect, it, vi } from 'vitest';
import { denied } from '../../agent/access/verdict.ts';
import { createFuse } from '../../agent/enforcement/fuse.ts';
import { keepFuse, type SavedFuse } from '../../agent/enforcement/fuse-keeper.ts';
import { type EnforcementSettings, planEnforcement } from '../../agent/enforcement/plan.ts';
import { access, ask, type Registry, teamB, useNode } from './scene.ts';

const node = useNode();

const DAY = 24 * 3_600_000;

afterEach(() => {
  vi.restoreAllMocks();
});

/** The wall clock of this process from now on: off by what `shift` says each time that it is read. */
function shiftClock(shift: () => number): void {
  const real = Date.now.bind(Date);
  vi.spyOn(Date, 'now').mockImplementation(() => real() + shift());
}

let reads = 0;
const clocks: readonly (readonly [string, () => number])[] = [
  ['a day back', () => -DAY],
  ['a day forward', () => DAY],
  ['jumping both ways while it runs', () => (reads++ % 2 === 0 ? DAY : -DAY)],
];
const settings: EnforcementSettings = {
  ...{ mode: 'enforce', onUnverifiable: 'deny', unmanaged: 'audit', revokeRunning: 'stop', ownPodUid: '' },
  ...{ enforceNamespaces: ['*'], exemptNamespaces: [] },
};
const planOf = async (found: ReturnType<typeof access>, alreadyRuns: boolean) => {
  const { verdict, doubt } = await found;
  return planEnforcement(settings, verdict, { namespace: 'team-a', podUid: 'u' }, { doubt, alreadyRuns });
};

describe.each(clocks)('a wall clock that is %s', (_name, shift) => {
  it("leaves what is on record allowed, and is nobody's permission", async () => {
    const verifier = node.verifier({ registry: (_image, user) => (user ? 'granted' : 'refused') });
    await ask(verifier);
    shiftClock(shift);
    expect(await ask(verifier)).toBe('allowed recordMatched');
    expect(await ask(verifier, teamB)).toBe('denied registryRefused');
  });

  it('stops nothing in an outage that runs and has standing, and lets nothing else run', async () => {
    let isDown = false;
    const registry: Registry = (_image, user) => (isDown ? 'down' : user ? 'granted' : 'refused');
    const verifier = node.verifier({ registry });
    await ask(verifier);
    for (const { imageRef, trimmedImage, grantee } of [...node.store.listGrants()]) {
      node.store.revoke(imageRef, trimmedImage, grantee);
    }
    isDown = true;
    shiftClock(shift);
    expect(await planOf(access(verifier), true)).toEqual({ action: 'none', outcome: 'ranBefore' });
    expect(await planOf(access(verifier), false)).toEqual({ action: 'stop' });
    expect(await planOf(access(verifier, teamB), true)).toEqual({ action: 'stop' });
  });

  it('neither opens nor closes the fuse of an agent that runs', () => {
    const saves: SavedFuse[] = [];
    const fuse = keepFuse(
      { count: 1, share: 0, namespaces: 1, windowMs: 600_000 },
      {
        state: { load: () => undefined, save: (saved) => saves.push(saved), lastReset: () => undefined },
        onOpen: () => undefined,
        onClose: () => undefined,
      },
    );
    const deny = (key: string) => fuse.permits({ namespace: 'team-a', key, hasStanding: true }, 10);
    shiftClock(shift);
    expect([deny('1'), fuse.isOpen()]).toEqual([true, false]);
    expect([deny('2'), deny('3'), fuse.isOpen()]).toEqual([false, false, true]);
    fuse.close();
  });

  it('keeps no fuse open for longer than its window after a restart', () => {
    let now = 0;
    const windowMs = 600_000;
    const recent = ['1', '2'].map((key) => ({ namespace: 'team-a', key, agoMs: 0 }));
    const nothing = () => undefined;
    const fuse = createFuse(
      { count: 1, share: 0, namespaces: 1, windowMs },
      {
        now: () => now,
        onOpen: nothing,
        onClose: nothing,
        restored: { snapshot: { isOpen: true, onNode: 2, recent }, agoMs: shift() },
      },
    );
    now = windowMs;
    expect(fuse.isOpen()).toBe(false);
  });
});

describe('a refusal', () => {
  it('is one at any time', () => {
    shiftClock(() => DAY);
    const subject = { namespace: 'team-a', podUid: 'u' };
    const refused = denied('registryRefused', '');
    expect(planEnforcement(settings, refused, subject, { doubt: 'standing', alreadyRuns: true })).toEqual({
      action: 'stop',
    });
  });
});
