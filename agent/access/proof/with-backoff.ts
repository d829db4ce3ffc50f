import { LRUCache } from 'lru-cache';
import { imageIdKey } from '../../image/image-id.ts';
import { createBackoff } from './backoff.ts';
import { type Ask, type NotGranted, type Question, registryOf } from './question.ts';

/**
 * An outage ends by itself, unlike a refusal: it is asked about again no later than this, so that its end is
 * seen.
 */
const MAX_UNAVAILABLE_MS = 30_000;
const MAX_REGISTRIES = 1_000;

/**
 * A question that was not granted is not asked again before its backoff ends. That a registry was unavailable
 * no longer counts once it has answered anybody.
 *
 * @param now milliseconds, monotonic
 */
export function withBackoff(ask: Ask, now: () => number): Ask {
  const backoff = createBackoff<NotGranted>();
  /** When each registry last granted or refused something. */
  const lastWord = new LRUCache<string, number>({ max: MAX_REGISTRIES });

  function held(key: string, registry: string): NotGranted | undefined {
    const known = backoff.held(key, now());
    if (known === undefined) return undefined;
    const isOver = isOutage(known.outcome) && (lastWord.get(registry) ?? -Infinity) > known.since;
    return isOver ? undefined : known.outcome;
  }

  return async (question) => {
    const key = keyOf(question);
    const registry = registryOf(question.name);
    const known = held(key, registry);
    if (known) return known;
    const answer = await ask(question);
    if (answer.answer !== 'unverifiable') lastWord.set(registry, now());
    if (answer.answer === 'granted') backoff.succeeded(key);
    // Of several that shared one question, only the first makes the delay longer.
    else if (isTheRegistrysWord(answer) && held(key, registry) === undefined) {
      backoff.failed(key, answer, now(), isOutage(answer) ? MAX_UNAVAILABLE_MS : undefined);
    }
    return answer;
  };
}

function keyOf({ imageRef, name, credential, namespace }: Question): string {
  const who = credential?.key ?? ['anonymous', namespace];
  return JSON.stringify([imageIdKey(imageRef), name.repository, who]);
}

/** What the runtime, the node or our own line had to say counts for nothing once it is over. */
function isTheRegistrysWord(answer: NotGranted): boolean {
  if (answer.answer === 'refused') return true;
  return answer.reason === 'registryUnavailable' || answer.reason === 'registryForbidsImage';
}

function isOutage(answer: NotGranted): boolean {
  return answer.answer === 'unverifiable' && answer.reason === 'registryUnavailable';
}
