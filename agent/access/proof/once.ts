import { type Answer, type Ask, questionKey } from './question.ts';

/** Equal questions that are under way at the same time are asked once, and share the answer. */
export function onceAtATime(ask: Ask): Ask {
  const underWay = new Map<string, Promise<Answer>>();
  return (question) => {
    const key = questionKey(question);
    const known = underWay.get(key);
    if (known) return known;
    const asking = ask(question).finally(() => underWay.delete(key));
    underWay.set(key, asking);
    return asking;
  };
}
