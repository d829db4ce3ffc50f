import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError } from '../../errors.ts';

/** client-go's informers tell the Node authorizer within about this many doublings of the first pause. */
const LAG_TRIES = 3;

/**
 * Asks again while the Node authorizer may not have heard of the pod that the object belongs to.
 *
 * @param firstPauseMs before the second try; doubled for each that follows
 */
export async function askPastLag<Answer>(ask: () => Promise<Answer>, firstPauseMs: number): Promise<Answer> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await ask();
    } catch (error) {
      if (!isUnrelated(error) || tries >= LAG_TRIES) throw error;
      await sleep(firstPauseMs * 2 ** tries);
    }
  }
}

/** What the Node authorizer says of an object that no pod of the node names, as far as it knows yet. */
export function isUnrelated(error: unknown): boolean {
  return (
    error instanceof ApiError &&
    error.reason === 'forbidden' &&
    error.message.includes('no relationship found between node')
  );
}

/** The user that the API server refused, in words for a message. */
export function refusedUser(error: ApiError): string {
  const user = /User "([^"]{1,256})"/.exec(error.message)?.[1];
  return user === undefined ? 'the agent' : `User "${user}"`;
}
