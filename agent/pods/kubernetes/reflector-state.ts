import type { ApiError } from '../../errors.ts';

/**
 * Which version a list asks for. `anyVersion`: whatever the API server has in memory. `notOlderThan`: at
 * least what was seen already. `mostRecent`: a consistent read, for when versions that were seen mean nothing
 * any more.
 */
export type ListVersion =
  | { readonly kind: 'anyVersion' }
  | { readonly kind: 'notOlderThan'; readonly resourceVersion: string }
  | { readonly kind: 'mostRecent' };

/** Where the reflector stands: what it asks next, and what it remembers to decide that. */
export type ReflectorState = {
  readonly next:
    | { readonly kind: 'list'; readonly version: ListVersion }
    | { readonly kind: 'watch'; readonly from: string };
  /** When a version that the API server does not know last made it list again, ms of the monotonic clock. */
  readonly relistedAt: number;
};

/** What became of a list or a watch. */
export type ReflectorOutcome =
  | { readonly kind: 'listed'; readonly resourceVersion: string }
  | { readonly kind: 'listFailed'; readonly reason: ApiError['reason'] }
  /** `lastSeen`: of the last event or bookmark, in this watch or before. */
  | {
      readonly kind: 'watchEnded';
      readonly how: 'inOrder' | 'tooSoon' | 'silent';
      readonly heard: boolean;
      readonly lastSeen: string;
    }
  | { readonly kind: 'watchFailed'; readonly reason: ApiError['reason']; readonly lastSeen: string };

/**
 * `none`: go on at once. `pause`: after the retry delay. `trouble`: the same, and the API server counts as
 * away.
 */
export type Delay = 'none' | 'pause' | 'trouble';

type Step = { readonly state: ReflectorState; readonly delay: Delay };

export const FIRST_STATE: ReflectorState = {
  next: { kind: 'list', version: { kind: 'anyVersion' } },
  relistedAt: Number.NEGATIVE_INFINITY,
};

const MOST_RECENT = { kind: 'list', version: { kind: 'mostRecent' } } as const;

/**
 * What follows from an outcome. As client-go's reflector does, a watch that ended in order goes on from the
 * last version that was seen. After any other end the pods are listed, no older than what was seen: the
 * server may have come back from a backup, and would say nothing to a version of its future. A version that
 * the API server does not know (410, as an answer or within the watch, or one of its future) is not named
 * again, or the same old list could come back, and the same 410 after it.
 *
 * @param now ms of the monotonic clock
 * @param relistMs a second 410 within so long counts as trouble, so that it cannot become a busy loop
 */
export function advance(
  state: ReflectorState,
  outcome: ReflectorOutcome,
  { now, relistMs }: { readonly now: number; readonly relistMs: number },
): Step {
  switch (outcome.kind) {
    case 'listed':
      return { state: { ...state, next: { kind: 'watch', from: outcome.resourceVersion } }, delay: 'none' };
    case 'listFailed': {
      if (!isAboutVersion(outcome.reason)) return { state, delay: 'trouble' };
      const wasMostRecent = state.next.kind === 'list' && state.next.version.kind === 'mostRecent';
      return { state: { ...state, next: MOST_RECENT }, delay: wasMostRecent ? 'trouble' : 'none' };
    }
    case 'watchEnded':
      return afterEndedWatch(state, outcome);
    case 'watchFailed': {
      if (!isAboutVersion(outcome.reason)) return listAgain(state, outcome.lastSeen, 'trouble');
      const again = now - state.relistedAt < relistMs;
      return { state: { next: MOST_RECENT, relistedAt: now }, delay: again ? 'trouble' : 'none' };
    }
  }
}

function afterEndedWatch(
  state: ReflectorState,
  { how, heard, lastSeen }: Extract<ReflectorOutcome, { kind: 'watchEnded' }>,
): Step {
  if (how === 'silent') return listAgain(state, lastSeen, 'none');
  if (how === 'tooSoon' && !heard) return listAgain(state, lastSeen, 'trouble');
  return {
    state: { ...state, next: { kind: 'watch', from: lastSeen } },
    delay: how === 'tooSoon' ? 'pause' : 'none',
  };
}

function listAgain(state: ReflectorState, lastSeen: string, delay: Delay): Step {
  const version = { kind: 'notOlderThan', resourceVersion: lastSeen } as const;
  return { state: { ...state, next: { kind: 'list', version } }, delay };
}

/** The question was at fault, not the moment: asked without a version, the API server may answer it. */
function isAboutVersion(reason: ApiError['reason']): boolean {
  return reason === 'expired' || reason === 'tooNew' || reason === 'badRequest';
}
