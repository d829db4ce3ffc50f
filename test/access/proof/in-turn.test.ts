import { describe, expect, it } from 'vitest';
import { createGuesses } from '../../../agent/access/proof/guesses.ts';
import { inTurn } from '../../../agent/access/proof/in-turn.ts';
import { createShares } from '../../../agent/access/proof/shares.ts';
import { answering, credentialOf, granted, held, outage, questionOf, refused } from './scene.ts';

const settings = { perRegistry: 1, perNamespace: 1, maxWaiting: 1 };

describe('a question that takes its turn', () => {
  it('is answered with what was said', async () => {
    const { ask } = answering(granted);
    const taking = inTurn(
      ask,
      createShares(settings, () => 0),
      createGuesses(() => 0),
    );
    expect(await taking(questionOf())).toEqual(granted);
  });

  it('is unverifiable where too many of its namespace wait, and nobody is asked', async () => {
    const { work, end } = held<typeof granted>();
    const taking = inTurn(
      work,
      createShares(settings, () => 0),
      createGuesses(() => 0),
    );
    const first = taking(questionOf());
    const second = taking(questionOf());
    expect(await taking(questionOf())).toMatchObject({ reason: 'verificationInProgress' });
    end(granted);
    expect(await Promise.all([first, second])).toEqual([granted, granted]);
  });

  it('after ten refused credentials of a namespace a new one waits, unasked, and says how long', async () => {
    const { ask, asked } = answering(refused);
    const taking = inTurn(
      ask,
      createShares(settings, () => 0),
      createGuesses(() => 0),
    );
    for (let n = 0; n < 10; n += 1) await taking(questionOf({ credential: credentialOf(`guess ${n}`) }));
    expect(await taking(questionOf({ credential: credentialOf('guess 10') }))).toMatchObject({
      reason: 'tooManyCredentials',
      message: 'reg.example refused many credentials of this namespace; a new one is tried in 5 s',
    });
    expect(asked()).toBe(10);
    expect(await taking(questionOf({ credential: undefined }))).toEqual(refused);
  });

  it('that waited while the others of its namespace were refused is not asked any more', async () => {
    const { ask, asked } = answering(refused);
    const taking = inTurn(
      ask,
      createShares({ ...settings, maxWaiting: 100 }, () => 0),
      createGuesses(() => 0),
    );
    const all = Array.from({ length: 60 }, (_, n) =>
      taking(questionOf({ credential: credentialOf(`guess ${n}`) })),
    );
    const answers = await Promise.all(all);
    expect(asked()).toBe(10);
    expect(answers.at(-1)).toMatchObject({ reason: 'tooManyCredentials' });
  });

  it('an outage counts against no credential', async () => {
    const { ask, asked } = answering(outage);
    const taking = inTurn(
      ask,
      createShares(settings, () => 0),
      createGuesses(() => 0),
    );
    for (let n = 0; n < 20; n += 1) await taking(questionOf({ credential: credentialOf(`guess ${n}`) }));
    expect(asked()).toBe(20);
  });
});
