import { LRUCache } from 'lru-cache';

/**
 * The time that the runtime waits for the veto. It asks one thing at a time and creates no other container of
 * the node meanwhile, so every wait is paid for by whoever comes next. What is left of an allowance grows
 * with time, by 1 % of it: as long as no more than 1 % of the time is spent waiting, 99 of 100 creations meet
 * no wait of somebody else's.
 */
export type TimeBudget = {
  /**
   * A question about a container of this namespace has come: how long the answer may take, in ms. At most
   * until its deadline, and at least as long as looking up what is on record takes: for whoever has used up
   * its own allowance, or goes behind others, only on a node that is not busy, and not at all with `hasAnswer`,
   * where what was found too late for the last question can be the answer.
   */
  patienceMs(namespace: string, untilDeadlineMs: number, hasAnswer?: boolean): number;
  /** A container of this namespace was created without a question. */
  created(namespace: string): void;
  /** The runtime waited so long (ms) for an answer about this namespace; `granted`: it was a right. */
  spent(namespace: string, ms: number, granted: boolean): void;
};

export type TimeBudgetLimits = {
  /** Of one namespace, at once; ms. */
  readonly namespaceMs: number;
  /** Of all together, at once; ms. */
  readonly nodeMs: number;
};

const DEFAULT_LIMITS: TimeBudgetLimits = { namespaceMs: 1_000, nodeMs: 2_000 };

/** Of the time that passes, this share is added to every allowance. */
const REFILL = 0.01;
/** What a verdict that is on record takes, on a busy node; a debt of others takes this from nobody. */
const LOOKUP_MS = 50;
/**
 * Of every wait, this much is not counted: a namespace is not to pay for verdicts that are on record. It is
 * also all that is left to one in debt, or its many questions would hold up the others.
 */
const FREE_MS = 10;
/**
 * A right that is found as soon as this (ms) counts for a quarter: whoever starts many new images, from a
 * registry that answers, is not to wait for kubelet's next try because of it.
 */
const QUICK_MS = 250;
const QUICK_SHARE = 0.25;
/**
 * A namespace that has not waited lately may wait this long even if others have used up what the node has, so
 * that they do not use up what it has.
 */
const FIRST_MS = 200;
/**
 * While containers of other namespaces are being created, and would have to wait as well, one wait is no
 * longer than this (ms). Preparation has judged most images by the time of the question.
 */
const BESIDE_OTHERS_MS = 250;
/**
 * Beside others, a namespace that was waited for longer than a lookup takes, and had no right in the end, goes
 * behind for so long (ms): what took too long takes too long again, and for a refusal nobody has to hurry.
 */
const BEHIND_MS = 10_000;
/** Others that asked less than this (ms) ago are likely to ask again. */
const OTHERS_MS = 30_000;
const MAX_NAMESPACES = 1_000;

/** `now` gives milliseconds of a clock that never goes back. */
export function createTimeBudget(now: () => number, limits: TimeBudgetLimits = DEFAULT_LIMITS): TimeBudget {
  const { namespaceMs, nodeMs } = limits;
  const node = allowance(nodeMs, now);
  const namespaces = new LRUCache<string, Allowance>({ max: MAX_NAMESPACES });
  /** When each was waited for in vain. */
  const inVain = new LRUCache<string, number>({ max: MAX_NAMESPACES });
  /** The last creation, and the last one of another namespace than that. */
  let last: { readonly namespace: string; readonly at: number } | undefined;
  let lastOther = Number.NEGATIVE_INFINITY;

  function noteCreation(namespace: string): void {
    if (last !== undefined && last.namespace !== namespace) lastOther = last.at;
    last = { namespace, at: now() };
  }

  const isBehind = (namespace: string): boolean =>
    now() - (inVain.get(namespace) ?? Number.NEGATIVE_INFINITY) < BEHIND_MS;

  return {
    created: noteCreation,
    patienceMs(namespace, untilDeadlineMs, hasAnswer = false) {
      noteCreation(namespace);
      const own = namespaces.get(namespace)?.left() ?? namespaceMs;
      const isBesideOthers = now() - lastOther < OTHERS_MS;
      const most = isBesideOthers ? BESIDE_OTHERS_MS : untilDeadlineMs;
      const shared = Math.max(node.left(), own === namespaceMs ? FIRST_MS : 0);
      const isUsedUp = own < LOOKUP_MS || (isBesideOthers && isBehind(namespace));
      if (isUsedUp && hasAnswer) return 0;
      const allowed = isUsedUp ? FREE_MS : Math.max(Math.min(own, shared, most), LOOKUP_MS);
      return Math.max(0, Math.min(untilDeadlineMs, allowed));
    },
    spent(namespace, ms, granted) {
      if (granted) inVain.delete(namespace);
      else if (ms > LOOKUP_MS) inVain.set(namespace, now());
      const share = granted && ms <= QUICK_MS ? QUICK_SHARE : 1;
      const counted = Math.max(0, ms - FREE_MS) * share;
      if (counted === 0) return;
      const own = namespaces.get(namespace) ?? allowance(namespaceMs, now);
      namespaces.set(namespace, own);
      own.take(counted);
      node.take(counted);
    },
  };
}

type Allowance = {
  /** In ms; never more than the most. */
  left(): number;
  /** May take more than is left, but a debt is never larger than the most. */
  take(ms: number): void;
};

function allowance(mostMs: number, now: () => number): Allowance {
  let leftMs = mostMs;
  let countedAt = now();
  const left = (): number => {
    const at = now();
    leftMs = Math.min(mostMs, leftMs + (at - countedAt) * REFILL);
    countedAt = at;
    return leftMs;
  };
  return {
    left,
    take(ms) {
      leftMs = Math.max(-mostMs, left() - ms);
    },
  };
}
