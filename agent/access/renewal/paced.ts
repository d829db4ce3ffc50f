import type { Ask, NotGranted } from '../proof/question.ts';
import type { Pace } from './pace.ts';

/** Questions of the background, at the pace that they are allowed. */
export function paced(ask: Ask, pace: Pace): Ask {
  return async (question) => ((await pace.turn()) ? ask({ ...question, again: true }) : stopping);
}

const stopping: NotGranted = {
  answer: 'unverifiable',
  reason: 'verificationInProgress',
  message: 'the agent is stopping',
};
