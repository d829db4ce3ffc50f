import type { Guesses } from './guesses.ts';
import { type Answer, type Ask, type NotGranted, registryOf } from './question.ts';
import type { Shares } from './shares.ts';

/**
 * Puts each question where it belongs in the line for its registry, and keeps guesses of passwords waiting.
 */
export function inTurn(ask: Ask, shares: Shares, guesses: Guesses): Ask {
  return async (question) => {
    const { namespace, credential, urgent } = question;
    const registry = registryOf(question.name);
    const waitMs = credential ? guesses.waitMs(namespace, registry, credential.key) : 0;
    if (waitMs > 0) return mustWait(registry, waitMs);
    /** Others of the namespace may have been refused while this one waited for its turn. */
    async function askNow(): Promise<Answer> {
      const stillMs = credential ? guesses.waitMs(namespace, registry, credential.key) : 0;
      if (stillMs > 0) return mustWait(registry, stillMs);
      const answer = await ask(question);
      if (answer.answer === 'refused' && credential) guesses.refused(namespace, registry, credential.key);
      return answer;
    }
    const answer = await shares.take(
      { registry, namespace, urgent },
      askNow,
      (given) => given.answer === 'granted',
    );
    return answer ?? tooMuchWaiting;
  };
}

function mustWait(registry: string, waitMs: number): NotGranted {
  const seconds = Math.ceil(waitMs / 1_000);
  return {
    answer: 'unverifiable',
    reason: 'tooManyCredentials',
    message: `${registry} refused many credentials of this namespace; a new one is tried in ${seconds} s`,
  };
}

const tooMuchWaiting: NotGranted = {
  answer: 'unverifiable',
  reason: 'verificationInProgress',
  message: 'too many questions of this namespace are waiting for an answer',
};
