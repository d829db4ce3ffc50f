import { describe, expect, it } from 'vitest';
import { createRuntimeDeaths } from '../../../agent/enforcement/veto/runtime-deaths.ts';

const MINUTE = 60_000;

function scene() {
  let ms = 0;
  const deaths = createRuntimeDeaths(() => ms);
  return {
    deaths,
    pass(by: number) {
      ms += by;
    },
    /** The runtime dies while it takes the plugin in. */
    die() {
      deaths.synchronizeUnfinished();
      ms += 200;
      deaths.runtimeAway();
    },
  };
}

describe('a runtime that dies of taking the plugin in', () => {
  it('is left alone for five to ten minutes, and longer each time', () => {
    const { deaths, die, pass } = scene();
    for (const most of [10, 20, 40, 80, 160, 240, 240]) {
      die();
      expect(deaths.stayAwayMs()).toBeGreaterThanOrEqual((most / 2) * MINUTE);
      expect(deaths.stayAwayMs()).toBeLessThanOrEqual(most * MINUTE);
      pass(most * MINUTE);
      expect(deaths.stayAwayMs()).toBe(0);
    }
  });

  it('is recognised whichever of its sockets is seen to be gone first', () => {
    const { deaths, pass } = scene();
    deaths.runtimeAway();
    pass(300);
    deaths.synchronizeUnfinished();
    expect(deaths.stayAwayMs()).toBeGreaterThan(0);
  });

  it('is left alone no longer for being seen to be gone by several', () => {
    const { deaths, die, pass } = scene();
    die();
    const { stayAwayMs } = deaths;
    const first = stayAwayMs();
    pass(1_000);
    deaths.runtimeAway();
    expect(stayAwayMs()).toBe(first - 1_000);
  });

  it('is left alone as after the first time once it has taken the plugin in', () => {
    const { deaths, die, pass } = scene();
    die();
    pass(10 * MINUTE);
    deaths.connected();
    die();
    expect(deaths.stayAwayMs()).toBeLessThanOrEqual(10 * MINUTE);
  });
});

describe('a runtime that does not', () => {
  it('is asked again soon: it gave up, and lives', () => {
    const { deaths, pass } = scene();
    deaths.synchronizeUnfinished();
    pass(5_001);
    deaths.runtimeAway();
    expect(deaths.stayAwayMs()).toBe(0);
  });

  it('is asked again soon: it was restarted', () => {
    const { deaths } = scene();
    deaths.runtimeAway();
    expect(deaths.stayAwayMs()).toBe(0);
  });
});
