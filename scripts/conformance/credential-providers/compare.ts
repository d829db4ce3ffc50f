import { isDeepStrictEqual } from 'node:util';
import type { Difference } from '../vector.ts';

/** Of one thing: nothing where it came out as it was recorded. */
export function compare(what: string, expected: unknown, actual: unknown): readonly Difference[] {
  return isDeepStrictEqual(actual, expected) ? [] : [{ what, expected, actual }];
}

/** A recorded list whose order means nothing. */
export function sortedByJson(items: readonly unknown[]): readonly unknown[] {
  return items.toSorted((one, other) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1));
}
