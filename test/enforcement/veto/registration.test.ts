import { describe, expect, it } from 'vitest';
import { type RegistrationQuestion, registrationHold } from '../../../agent/enforcement/veto/registration.ts';

const NOW = Date.parse('2026-06-01T12:00:00Z');

/** A pod whose grace is so many seconds, of which so many are left. */
function terminating(name: string, remainingSeconds: number, graceSeconds = 30) {
  const untilMs = NOW + remainingSeconds * 1_000;
  return { namespace: 'team-a', name, untilMs, graceMs: graceSeconds * 1_000 };
}

function ask(question: Partial<RegistrationQuestion>) {
  return registrationHold({
    terminating: [],
    nowMs: NOW,
    stoppedAgainSinceMs: undefined,
    waitedMs: 0,
    stayAwayMs: 0,
    ...question,
  });
}

const isHeld = (question: Partial<RegistrationQuestion>): boolean => ask(question) !== undefined;

describe('the plugin registers', () => {
  it('at once when no pod is being terminated', () => {
    expect(ask({})).toBeUndefined();
  });

  it.each([
    [4, 0, false],
    [5, 0, false],
    [6, 0, true],
    [30, 59, true],
    [30, 60, false],
    [35, 60, false],
    [36, 60, true],
    [3_600, 60, true],
    [3_600, 24 * 3_600, true],
  ])('with %d s of a pod`s grace left, after having waited %d s: not yet %s', (left, waited, held) => {
    expect(isHeld({ terminating: [terminating('web', left, left)], waitedMs: waited * 1_000 })).toBe(held);
  });

  it('whatever becomes of pods whose grace is over', () => {
    expect(isHeld({ terminating: [terminating('stuck', -1), terminating('older', -86_400)] })).toBe(false);
  });

  it('not yet while kubelet stops again, with the whole grace, what it stopped before the runtime went away', () => {
    const pods = [terminating('stuck', -10, 600)];
    expect(isHeld({ terminating: pods, stoppedAgainSinceMs: NOW })).toBe(true);
    expect(isHeld({ terminating: pods, stoppedAgainSinceMs: NOW - 594_000 })).toBe(true);
    expect(isHeld({ terminating: pods, stoppedAgainSinceMs: NOW - 595_000 })).toBe(false);
    expect(isHeld({ terminating: [terminating('quick', -10, 2)], stoppedAgainSinceMs: NOW })).toBe(false);
  });

  it('not for as long as it is to stay away from a runtime that died of it', () => {
    expect(ask({ stayAwayMs: 61_000, waitedMs: 24 * 3_600_000 })).toMatchObject({
      reason: 'runtimeDied',
      message: expect.stringContaining('waits for 2 min'),
    });
  });

  it('not before the pods are known, but without them after half a minute', () => {
    expect(ask({ terminating: undefined })).toMatchObject({ reason: 'podsUnknown' });
    expect(isHeld({ terminating: undefined, waitedMs: 29_999 })).toBe(true);
    expect(isHeld({ terminating: undefined, waitedMs: 30_000 })).toBe(false);
  });
});

describe('why it does not', () => {
  const pods = [terminating('web', 20), terminating('batch', 3_000, 3_600), terminating('gone', -5)];

  it('names how many pods it waits for, and the one that may take longest', () => {
    expect(ask({ terminating: pods })).toEqual({
      reason: 'podsTerminating',
      message:
        'waits for 2 pods that are being terminated: registering would hold up every container of the node until ' +
        'they have ended (containerd issue 14083)',
      last: { namespace: 'team-a', name: 'batch', remainingMs: 3_000_000 },
    });
  });

  it('counts no longer those whose end is near enough by now', () => {
    expect(ask({ terminating: pods, waitedMs: 60_000 })?.message).toMatch(
      /^waits for 1 pod that is being terminated: .* until it has ended/,
    );
  });
});
