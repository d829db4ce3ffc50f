import { beforeEach, describe, expect, it } from 'vitest';
import {
  createEventCorrelator,
  type EventCorrelator,
  type PodEvent,
} from '../../agent/kubernetes/event-correlator.ts';

let now: number;
let correlator: EventCorrelator;

beforeEach(() => {
  now = 1_000_000;
  correlator = createEventCorrelator(() => now);
});

const minutes = (count: number): number => count * 60_000;

const event = (message: string, pod = 'web', reason: PodEvent['reason'] = 'ImageAccessDenied'): PodEvent => ({
  pod: { namespace: 'team-a', name: pod, uid: `uid-${pod}` },
  fieldPath: 'spec.containers{app}',
  reason,
  message,
});

const key = (given: PodEvent): string | undefined => correlator.correlate(given)?.key;

describe('Events on a pod', () => {
  it('that say the same have the same key, all others their own', () => {
    const first = key(event('refused'));
    expect(key(event('refused'))).toBe(first);
    const others = [
      event('refused by another'),
      event('refused', 'other'),
      event('refused', 'web', 'ImageAccessUnverifiable'),
      { ...event('refused'), fieldPath: 'spec.containers{side}' },
    ];
    expect(new Set([first, ...others.map(key)]).size).toBe(5);
  });

  it('are 25 at once at most, then one every five minutes; another pod has its own share', () => {
    const sent = Array.from({ length: 40 }, () => key(event('refused'))).filter((said) => said !== undefined);
    expect(sent).toHaveLength(25);
    expect(key(event('refused', 'other'))).toBeDefined();
    now += minutes(5) - 1;
    expect(key(event('refused'))).toBeUndefined();
    now += 2;
    expect(key(event('refused'))).toBeDefined();
    expect(key(event('refused'))).toBeUndefined();
  });

  it('are never more at once, however long there were none', () => {
    correlator.correlate(event('refused'));
    now += minutes(100_000);
    const sent = Array.from({ length: 40 }, () => key(event('refused'))).filter((said) => said !== undefined);
    expect(sent).toHaveLength(25);
  });

  it('that differ only in their text are combined after ten within ten minutes', () => {
    const texts = Array.from({ length: 12 }, (_, index) => `refused ${index}`);
    const said = texts.map((text) => correlator.correlate(event(text)));
    expect(said.slice(0, 10).map((one) => one?.event.message)).toEqual(texts.slice(0, 10));
    expect(said.slice(10).map((one) => one?.event.message)).toEqual([
      '(combined from similar events): refused 10',
      '(combined from similar events): refused 11',
    ]);
    expect(said[10]?.key).toBe(said[11]?.key);
    expect(correlator.correlate(event('refused 3'))?.event.message).toBe('refused 3');
  });

  it('that differ are no longer combined after ten minutes without any', () => {
    for (let index = 0; index < 11; index += 1) correlator.correlate(event(`refused ${index}`));
    now += minutes(10) + 1;
    expect(correlator.correlate(event('refused at last'))?.event.message).toBe('refused at last');
  });
});
