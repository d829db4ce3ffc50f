import { describe, expect, it } from 'vitest';
import { onceAtATime } from '../../../agent/access/proof/once.ts';
import type { Answer, Question } from '../../../agent/access/proof/question.ts';
import { answering, credentialOf, granted, held, questionOf, refused } from './scene.ts';

describe('equal questions at the same time', () => {
  it('are asked once and share the answer; the next one afterwards is asked anew', async () => {
    const first = held<Answer>();
    const later = answering(refused);
    let asked = 0;
    const asking = onceAtATime((question) => {
      asked += 1;
      return asked === 1 ? first.work() : later.ask(question);
    });
    const both = [asking(questionOf()), asking(questionOf({ urgent: false }))];
    expect(asked).toBe(1);
    first.end(granted);
    expect(await Promise.all(both)).toEqual([granted, granted]);
    expect(await asking(questionOf())).toEqual(refused);
  });

  it.each<[string, Question, Question, number]>([
    ['another credential', questionOf(), questionOf({ credential: credentialOf('bob') }), 2],
    ['another repository', questionOf(), questionOf({ repository: 'reg.example/team-b/app' }), 2],
    ['other content', questionOf(), questionOf({ imageRef: `sha256:${'2'.repeat(64)}` }), 2],
    ['the same credential in another namespace', questionOf(), questionOf({ namespace: 'team-b' }), 1],
    [
      "nobody's credentials in another namespace",
      questionOf({ credential: undefined }),
      questionOf({ credential: undefined, namespace: 'team-b' }),
      2,
    ],
  ])('%s', async (_what, one, other, times) => {
    const { ask, asked } = answering(granted);
    const asking = onceAtATime(ask);
    await Promise.all([asking(one), asking(other)]);
    expect(asked()).toBe(times);
  });
});
