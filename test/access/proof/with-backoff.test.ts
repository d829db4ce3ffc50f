import { describe, expect, it } from 'vitest';
import type { Answer } from '../../../agent/access/proof/question.ts';
import { withBackoff } from '../../../agent/access/proof/with-backoff.ts';
import { answering, credentialOf, granted, outage, questionOf, refused } from './scene.ts';

function sceneOf(...answers: [Answer, ...Answer[]]) {
  const clock = { now: 0 };
  const { ask, asked } = answering(...answers);
  return { clock, asked, asking: withBackoff(ask, () => clock.now) };
}

describe('what was not granted', () => {
  it('is not asked again for 10 s, then 20 s, and is told meanwhile', async () => {
    const { clock, asked, asking } = sceneOf(refused);
    for (const now of [0, 9_999, 10_000, 29_999, 30_000]) {
      clock.now = now;
      expect(await asking(questionOf())).toEqual(refused);
    }
    expect(asked()).toBe(3);
  });

  it('holds up neither another credential nor another repository', async () => {
    const { asked, asking } = sceneOf(refused);
    await asking(questionOf());
    await asking(questionOf({ credential: credentialOf('bob') }));
    await asking(questionOf({ repository: 'reg.example/team-b/app' }));
    expect(asked()).toBe(3);
  });

  it('an outage is over once the registry has answered anybody', async () => {
    const { clock, asking } = sceneOf(outage, refused, granted);
    expect(await asking(questionOf())).toEqual(outage);
    clock.now = 1;
    expect(await asking(questionOf({ credential: credentialOf('bob') }))).toEqual(refused);
    expect(await asking(questionOf())).toEqual(granted);
  });

  it.each<[Answer]>([
    [{ answer: 'unverifiable', reason: 'verificationInProgress', message: 'waits' }],
    [{ answer: 'unverifiable', reason: 'runtimeUnavailable', message: 'away' }],
    [{ answer: 'unverifiable', reason: 'nodeTrouble', message: 'full' }],
    [{ answer: 'unverifiable', reason: 'tooManyCredentials', message: 'waits' }],
  ])('is asked again at once where it was not the registry that said so: %o', async (answer) => {
    const { asking } = sceneOf(answer, granted);
    expect(await asking(questionOf())).toEqual(answer);
    expect(await asking(questionOf())).toEqual(granted);
  });
});
