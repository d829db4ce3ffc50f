import { setImmediate } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { allowed, denied, unverifiable, type Verdict } from '../../../agent/access/verdict.ts';
import { CONTENT, imageOf, OTHER_CONTENT, vetoScene, webPod } from './scene.ts';

const refused = denied('registryRefused', 'team-a/pull-secret was refused');
const down = unverifiable('registryUnavailable', 'connection refused');
const IN_PROGRESS = 'ContainerRefused: pullwarden: verification in progress';

/** A verification that ends when the test says so. */
function heldVerification() {
  const { promise, resolve } = Promise.withResolvers<Verdict>();
  return { judge: () => promise, finish: resolve };
}

/** Answers soon, long before the runtime's patience ends. */
const soon = { patienceMs: () => 20, created: () => undefined, spent: () => undefined };

/** Whatever follows from a verification that has just ended has happened. */
const ended = setImmediate;

describe('a verdict that is not there in time', () => {
  it('refuses as in progress, goes on, and is the answer at the next try', async () => {
    const { judge, finish } = heldVerification();
    const { create, asked, inProgress, reported, veto } = vetoScene({ judge });
    expect((await create({ patienceMs: 150 })).refusal).toBe(IN_PROGRESS);
    veto.flush();
    expect([inProgress(), reported]).toEqual([1, []]);
    const second = create();
    finish(refused);
    expect((await second).refusal).toMatch(/registryRefused/);
    expect(asked).toHaveLength(1);
    veto.flush();
    expect(reported).toHaveLength(1);
  });

  it('is what the next try hears, though that begins another verification that takes as long', async () => {
    const first = Promise.withResolvers<Verdict>();
    const second = Promise.withResolvers<Verdict>();
    const held = [first, second];
    const { create, asked, inProgress } = vetoScene({
      judge: () => held.shift()?.promise ?? refused,
      budget: soon,
    });
    expect((await create()).refusal).toBe(IN_PROGRESS);
    first.resolve(refused);
    await ended();
    expect((await create()).refusal).toMatch(/registryRefused/);
    expect([asked.length, inProgress()]).toEqual([2, 1]);
    // What the other one comes to counts from then on.
    second.resolve(down);
    await ended();
    expect((await create()).refusal).toMatch(/registryRefused|registryUnavailable/);
  });

  it('gives way to a newer one that is there in time', async () => {
    const first = Promise.withResolvers<Verdict>();
    const held = [first.promise];
    const { create } = vetoScene({
      judge: () => held.shift() ?? allowed('repullSucceeded', ''),
      budget: soon,
    });
    expect((await create()).refusal).toBe(IN_PROGRESS);
    first.resolve(refused);
    await ended();
    expect((await create()).refusal).toBeUndefined();
  });

  it('allows the next try while the image`s name means what was judged, and not afterwards', async () => {
    const first = Promise.withResolvers<Verdict>();
    const { promise } = Promise.withResolvers<Verdict>();
    const held = [first.promise];
    let content = CONTENT;
    const scene = vetoScene({
      judge: () => held.shift() ?? promise,
      imageStatus: async () => imageOf(content),
      budget: soon,
    });
    expect((await scene.create()).refusal).toBe(IN_PROGRESS);
    first.resolve(allowed('repullSucceeded', ''));
    await ended();
    expect((await scene.create()).refusal).toBeUndefined();
    content = OTHER_CONTENT;
    expect((await scene.create()).refusal).toBe(IN_PROGRESS);
  });

  it('is the same one for every question about this container while it is being found', async () => {
    const { judge, finish } = heldVerification();
    const { create, asked } = vetoScene({ judge });
    const both = [create(), create(), create({ containerName: 'app', pod: { ...webPod, uid: 'uid-2' } })];
    await vi.waitFor(() => expect(asked).toHaveLength(2));
    finish(allowed('repullSucceeded', ''));
    expect((await Promise.all(both)).map(({ refusal }) => refusal)).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    // And afterwards it is asked anew.
    await create();
    expect(asked).toHaveLength(3);
  });

  it('with --on-unverifiable allow is not waited for where the content has standing; the guard goes on with it', async () => {
    const { judge } = heldVerification();
    const scene = (doubt: 'standing' | 'none') =>
      vetoScene({ judge, settings: { onUnverifiable: 'allow' }, doubt });
    const { create, inProgress, whoJudges } = scene('standing');
    const { id, refusal } = await create({ patienceMs: 150 });
    expect([refusal, inProgress(), await whoJudges(id)]).toEqual([undefined, 0, 'guardJudges']);
    // Kubelet asks again: that is no more than a delay for who has a right.
    expect((await scene('none').create({ patienceMs: 150 })).refusal).toBe(IN_PROGRESS);
  });

  it('is not waited for while the fuse is open where the content has standing', async () => {
    const { judge } = heldVerification();
    const scene = (doubt: 'standing' | 'none') => {
      const open = vetoScene({ judge, fuseCount: 0, doubt });
      open.fuse.permits({ namespace: 'team-b', key: 'x', hasStanding: true }, 1);
      return open;
    };
    expect((await scene('standing').create({ patienceMs: 150 })).refusal).toBeUndefined();
    expect((await scene('none').create({ patienceMs: 150 })).refusal).toBe(IN_PROGRESS);
  });

  it('excuses nobody while the content is not known either', async () => {
    const { judge } = heldVerification();
    const lenient = { judge, settings: { onUnverifiable: 'allow' as const }, doubt: 'standing' as const };
    const nameless = vetoScene(lenient);
    expect((await nameless.create({ image: '', patienceMs: 150 })).refusal).toBe(IN_PROGRESS);
    const slow = vetoScene({ ...lenient, imageStatus: () => new Promise(() => undefined) });
    expect((await slow.create({ patienceMs: 150 })).refusal).toBe(IN_PROGRESS);
  });

  it('is not acted on when it comes after somebody else has answered', async () => {
    const { create, reported, whoJudges, veto } = vetoScene({ judge: () => refused });
    const { id, refusal } = await create({ patienceMs: -1 });
    veto.flush();
    expect([refusal, reported, await whoJudges(id)]).toEqual([undefined, [], 'guardJudges']);
  });
});

describe('the time that the runtime waits', () => {
  it('is as much as the budget has left for the namespace, and is put on its account', async () => {
    const { judge, finish } = heldVerification();
    const account: [string, number][] = [];
    const { create } = vetoScene({
      judge,
      budget: {
        patienceMs: (namespace, untilDeadlineMs) => (namespace === 'team-a' ? 20 : untilDeadlineMs),
        created: () => undefined,
        spent: (namespace, ms) => account.push([namespace, ms]),
      },
    });
    let others = 0;
    const other = create({ pod: { ...webPod, namespace: 'team-b' }, patienceMs: 5_000 });
    void other.then(() => {
      others += 1;
    });
    expect((await create({ patienceMs: 5_000 })).refusal).toBe(IN_PROGRESS);
    expect(account).toEqual([['team-a', expect.any(Number)]]);
    expect(account[0]?.[1]).toBeGreaterThanOrEqual(19);
    // Asked first, and still waited for.
    expect(others).toBe(0);
    finish(refused);
    expect((await other).refusal).toMatch(/registryRefused/);
  });

  it('is never longer than until the deadline, whatever the budget says', async () => {
    const { judge } = heldVerification();
    const { create } = vetoScene({
      judge,
      budget: { patienceMs: () => 60_000, created: () => undefined, spent: () => undefined },
    });
    expect((await create({ patienceMs: 150 })).refusal).toBe(IN_PROGRESS);
  });
});
