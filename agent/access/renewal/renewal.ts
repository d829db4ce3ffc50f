import type { RecordStore } from '../../records/record-store.ts';
import type { Grant } from '../../records/types.ts';
import { grantKey, isDue, type LastAnswer, type Renewed } from './due.ts';
import type { Pace } from './pace.ts';
import type { Renew } from './renew.ts';

export type RenewalOptions = {
  readonly ttlMs: number;
  readonly store: Pick<RecordStore, 'listGrants' | 'verifiedAt' | 'refresh'>;
  readonly renew: Renew;
  /** Each grant that is looked at takes a turn. */
  readonly pace: Pace;
  /** Wall clock, ms since the epoch. */
  readonly now: () => number;
  /** Milliseconds of a clock that never jumps. */
  readonly monotonicNow: () => number;
  /** A grant of this content was taken away. */
  readonly onRevoked: (grant: Grant) => void;
  readonly onRenewed: (renewed: Renewed) => void;
};

export type Renewal = { close(): Promise<void> };

const LEAST_PAUSE_MS = 1_000;
const MOST_PAUSE_MS = 60_000;

/**
 * `--record-ttl`: asks again about grants that grow old, one by one, the oldest first. The old word counts
 * until there is an answer; a refusal takes the grant away, an outage does not.
 */
export function startRenewal(options: RenewalOptions): Renewal {
  const { ttlMs, store, pace, monotonicNow } = options;
  const lastAnswers = new Map<string, { readonly renewed: Renewed; readonly atMs: number }>();
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let working = Promise.resolve();

  function lastAnswerTo(grant: Grant): LastAnswer | undefined {
    const last = lastAnswers.get(grantKey(grant));
    return last && { renewed: last.renewed, agoMs: monotonicNow() - last.atMs };
  }

  function due(): Grant[] {
    store.refresh();
    const grants = [...store.listGrants()];
    forgetAnswersButThoseOf(grants);
    const nowMs = options.now();
    return grants
      .filter((grant) => isDue(grant, { ttlMs, nowMs, last: lastAnswerTo(grant) }))
      .sort((one, other) => (one.verifiedAt ?? 0) - (other.verifiedAt ?? 0));
  }

  function forgetAnswersButThoseOf(grants: readonly Grant[]): void {
    const keys = new Set(grants.map(grantKey));
    for (const key of lastAnswers.keys()) if (!keys.has(key)) lastAnswers.delete(key);
  }

  async function round(): Promise<void> {
    for (const grant of due()) {
      if (!(await pace.turn())) return;
      const renewed = await options.renew(grant);
      lastAnswers.set(grantKey(grant), { renewed, atMs: monotonicNow() });
      options.onRenewed(renewed);
      if (renewed === 'refused' || renewed === 'gone') options.onRevoked(grant);
    }
  }

  function later(): void {
    if (closed) return;
    const pauseMs = Math.min(MOST_PAUSE_MS, Math.max(LEAST_PAUSE_MS, ttlMs / 20));
    timer = setTimeout(() => {
      working = round().finally(later);
    }, pauseMs).unref();
  }

  later();
  return {
    async close() {
      closed = true;
      clearTimeout(timer);
      await working;
    },
  };
}
