import { describe, expect, it, vi } from 'vitest';
import { allowed, denied, unverifiable, type Verdict } from '../../../agent/access/verdict.ts';
import { guardScene, inTurn, notEnforced, webContainer, webPod } from './scene.ts';

const down = unverifiable('registryUnavailable', 'connection refused');
const refused = denied('registryRefused', '');
const granted = allowed('repullSucceeded', '');

describe('a container that was let run for the time being', () => {
  it('is stopped when what comes of the verification is a refusal', async () => {
    const { see, words } = guardScene({
      judge: () => ({ verdict: granted, doubt: 'standing', revision: Promise.resolve(refused) }),
    });
    await see();
    expect(words()).toEqual(['repullSucceeded allowed', 'registryRefused stopped']);
  });

  it('counts as running already, with the standing that it has', async () => {
    const { see, enforced } = guardScene({
      judge: () => ({ verdict: granted, doubt: 'standing', revision: Promise.resolve(refused) }),
    });
    await see();
    expect(enforced).toMatchObject([{ judgement: { doubt: 'standing' }, alreadyRuns: true }]);
  });

  it('is tried again later when nobody can be asked', async () => {
    const { see, words, guard } = guardScene({
      judge: () => ({ verdict: granted, doubt: 'standing', revision: Promise.resolve(down) }),
    });
    await see();
    expect([words(), guard.pending()]).toEqual([['repullSucceeded allowed'], 1]);
    await guard.close(0);
  });
});

describe('a pod whose secret has changed', () => {
  it('has its containers judged again, also those that the veto judged, and no others', async () => {
    const changed = unverifiable('secretUnreadable', '');
    const { see, guard, handover, asked, words, enforced } = guardScene({
      judge: inTurn<Verdict>(granted, granted, refused, changed),
      enforce: ({ verdict }) =>
        verdict === changed ? notEnforced('ranBefore') : { action: 'stop', outcome: 'stopped' },
    });
    const other = { ...webContainer, id: 'other', pod: { ...webContainer.pod, uid: 'uid-other' } };
    const vetoed = { ...webContainer, id: 'vetoed' };
    handover.judgedByVeto(vetoed.id, { own: vetoed.imageRef, volumes: [] });
    for (const container of [webContainer, other, vetoed]) await see(container);
    guard.judgeAgain({ podUid: webPod.uid });
    await guard.idle();
    expect(asked).toHaveLength(4);
    expect(words().slice(2)).toEqual(['registryRefused stopped', 'secretUnreadable ranBefore']);
    // What the veto allowed runs since then.
    expect(enforced.map(({ judgement, alreadyRuns }) => [judgement.container.id, alreadyRuns])).toEqual([
      ['c1', true],
      ['vetoed', true],
    ]);
    await guard.close(0);
  });
});

describe('a content that lost what its verdicts rested on', () => {
  it('has the containers that use it judged again, whichever way the runtime writes its id', async () => {
    const digits = 'a'.repeat(64);
    const { see, guard, asked, words } = guardScene({ judge: inTurn<Verdict>(granted, granted, refused) });
    const container = { ...webContainer, imageRef: `sha256:${digits}` };
    await see(container);
    await see({ ...webContainer, id: 'other' });
    guard.judgeAgain({ imageRefs: [digits] });
    await guard.idle();
    expect(asked.map(({ imageRef }) => imageRef)).toEqual([
      container.imageRef,
      webContainer.imageRef,
      container.imageRef,
    ]);
    expect(words().at(-1)).toBe('registryRefused stopped');
  });
});

describe('a container that the open fuse let run', () => {
  it('is judged again when the fuse closes, and stopped if it is still denied', async () => {
    let isOpen = true;
    const { see, guard, words } = guardScene({
      judge: () => refused,
      enforce: () => (isOpen ? notEnforced('fuseOpen') : { action: 'stop', outcome: 'stopped' }),
    });
    await see();
    expect(words()).toEqual(['registryRefused fuseOpen']);
    isOpen = false;
    guard.fuseClosed();
    await vi.waitFor(() => expect(words()).toEqual(['registryRefused fuseOpen', 'registryRefused stopped']));
    guard.fuseClosed();
    await guard.idle();
    expect(words()).toHaveLength(2);
  });

  it('is left alone when it is gone by then, or was allowed meanwhile', async () => {
    const gone = guardScene({ judge: () => refused, enforce: () => notEnforced('fuseOpen') });
    await gone.see();
    gone.guard.containerGone(webContainer.id);
    gone.guard.fuseClosed();
    expect(gone.guard.pending()).toBe(0);

    const meanwhile = guardScene({
      judge: inTurn<Verdict>(down, granted),
      enforce: () => notEnforced('fuseOpen'),
    });
    await meanwhile.see();
    meanwhile.guard.retryNow();
    await vi.waitFor(() => expect(meanwhile.words().at(-1)).toBe('repullSucceeded allowed'));
    await meanwhile.guard.idle();
    meanwhile.guard.fuseClosed();
    expect(meanwhile.guard.pending()).toBe(0);
  });
});

describe('what is reported of a container that is judged again', () => {
  it('is nothing while verdict, reason and outcome are the same', async () => {
    const { see, guard, asked, words, verdicts } = guardScene({
      judge: () => down,
      enforce: () => notEnforced('audit'),
    });
    await see();
    for (const looks of [2, 3]) {
      guard.retryNow();
      await vi.waitFor(() => expect(asked).toHaveLength(looks), 3_000);
      await guard.idle();
    }
    expect([verdicts, words()]).toEqual([['registryUnavailable'], ['registryUnavailable audit']]);
    await guard.close(0);
  });

  it('is the verdict once more where another reason, or another outcome, comes of it', async () => {
    const away = unverifiable('apiServerUnavailable', '');
    const { see, guard, asked, words, verdicts } = guardScene({
      judge: inTurn(down, away, away),
      enforce: inTurn(notEnforced('audit'), notEnforced('audit'), notEnforced('fuseOpen')),
    });
    await see();
    for (const looks of [2, 3]) {
      guard.retryNow();
      await vi.waitFor(() => expect(asked).toHaveLength(looks), 3_000);
      await guard.idle();
    }
    expect(words()).toEqual([
      'registryUnavailable audit',
      'apiServerUnavailable audit',
      'apiServerUnavailable fuseOpen',
    ]);
    expect(verdicts).toEqual(['registryUnavailable', 'apiServerUnavailable', 'apiServerUnavailable']);
    await guard.close(0);
  });
});
