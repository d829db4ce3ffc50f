import { describe, expect, it } from 'vitest';
import {
  advance,
  FIRST_STATE,
  type ReflectorOutcome,
  type ReflectorState,
} from '../../../agent/pods/kubernetes/reflector-state.ts';

const LIMITS = { now: 100_000, relistMs: 10_000 };
const watching: ReflectorState = { ...FIRST_STATE, next: { kind: 'watch', from: '7' } };
const listing = (version: 'anyVersion' | 'mostRecent'): ReflectorState => ({
  ...FIRST_STATE,
  next: { kind: 'list', version: { kind: version } },
});
const follows = (state: ReflectorState, outcome: ReflectorOutcome) => {
  const { state: next, delay } = advance(state, outcome, LIMITS);
  return { next: next.next, delay };
};

const notOlderThan = (resourceVersion: string) => ({
  kind: 'list',
  version: { kind: 'notOlderThan', resourceVersion },
});
const mostRecent = { kind: 'list', version: { kind: 'mostRecent' } };

describe('what the reflector asks next', () => {
  it('at first: a list of whatever the API server has in memory', () => {
    expect(FIRST_STATE.next).toEqual({ kind: 'list', version: { kind: 'anyVersion' } });
  });

  it('after a list: a watch from its version', () => {
    expect(follows(listing('anyVersion'), { kind: 'listed', resourceVersion: '7' })).toEqual({
      next: { kind: 'watch', from: '7' },
      delay: 'none',
    });
  });

  it('after a watch that ended in order: one from what was last seen', () => {
    expect(follows(watching, { kind: 'watchEnded', how: 'inOrder', heard: true, lastSeen: '9' })).toEqual({
      next: { kind: 'watch', from: '9' },
      delay: 'none',
    });
  });

  it('after a watch that ended at once, but said something: the same, with a pause', () => {
    expect(follows(watching, { kind: 'watchEnded', how: 'tooSoon', heard: true, lastSeen: '7' })).toEqual({
      next: { kind: 'watch', from: '7' },
      delay: 'pause',
    });
  });

  it.each([
    ['that ended at once without a word', 'tooSoon', false, 'trouble'],
    ['in which nothing was heard for too long', 'silent', false, 'none'],
    ['in which nothing more was heard for too long', 'silent', true, 'none'],
  ] as const)('after a watch %s: a list no older than what was seen', (_, how, heard, delay) => {
    expect(follows(watching, { kind: 'watchEnded', how, heard, lastSeen: '7' })).toEqual({
      next: notOlderThan('7'),
      delay,
    });
  });

  it.each(['expired', 'tooNew', 'badRequest'] as const)(
    'after a watch that failed because its version is %s: the most recent list, at once',
    (reason) => {
      expect(follows(watching, { kind: 'watchFailed', reason, lastSeen: '9' })).toEqual({
        next: mostRecent,
        delay: 'none',
      });
    },
  );

  it('after a second such failure within a short time: the same, but the API server counts as away', () => {
    const outcome = { kind: 'watchFailed', reason: 'expired', lastSeen: '9' } as const;
    const { state } = advance(watching, outcome, LIMITS);
    const again = advance({ ...state, next: watching.next }, outcome, { ...LIMITS, now: 109_999 });
    expect(again).toMatchObject({ state: { next: mostRecent }, delay: 'trouble' });
    const later = advance({ ...state, next: watching.next }, outcome, { ...LIMITS, now: 110_000 });
    expect(later).toMatchObject({ state: { next: mostRecent }, delay: 'none' });
  });

  it.each(['unreachable', 'timeout', 'serverError', 'unauthorized', 'forbidden', 'tooManyRequests'] as const)(
    'after a watch that failed for another reason (%s): a list no older than what was seen, after a pause',
    (reason) => {
      expect(follows(watching, { kind: 'watchFailed', reason, lastSeen: '9' })).toEqual({
        next: notOlderThan('9'),
        delay: 'trouble',
      });
    },
  );

  it.each(['expired', 'tooNew', 'badRequest'] as const)(
    'after a list that failed because its version is %s: the most recent, at once; with a pause if it was that',
    (reason) => {
      const outcome = { kind: 'listFailed', reason } as const;
      expect(follows(listing('anyVersion'), outcome)).toEqual({ next: mostRecent, delay: 'none' });
      expect(follows(listing('mostRecent'), outcome)).toEqual({ next: mostRecent, delay: 'trouble' });
    },
  );

  it('after a list that failed for another reason: the same list, after a pause', () => {
    const state = listing('anyVersion');
    expect(follows(state, { kind: 'listFailed', reason: 'unreachable' })).toEqual({
      next: state.next,
      delay: 'trouble',
    });
  });
});
