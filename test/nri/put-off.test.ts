import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { keepNriConnection, type NriConnection, type NriHold } from '../../agent/nri/nri-connection.ts';

const terminating: NriHold = { reason: 'podsTerminating', message: 'waits for 1 pod' };
const unknown: NriHold = { reason: 'podsUnknown', message: 'waits for the pods' };

let connection: NriConnection;
let hold: NriHold | undefined;
let asked: number[];
let told: string[];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  asked = [];
  told = [];
});

afterEach(() => {
  connection.close();
  vi.useRealTimers();
});

/** At a socket that nobody listens at: each try ends as `unreachable`. */
function open(whyNotNow: (waitedMs: number) => Promise<NriHold | undefined>): void {
  connection = keepNriConnection({
    socketPath: '/nowhere/nri.sock',
    reconnect: { initialMs: 60_000, maxMs: 60_000 },
    async whyNotNow(waitedMs) {
      asked.push(waitedMs);
      return whyNotNow(waitedMs);
    },
    onSynchronize() {},
    async onCreateContainer() {},
    onDisconnected: ({ reason, message }) => told.push(`${reason}: ${message}`),
  });
}

const tries = (): number => told.filter((one) => one.startsWith('unreachable')).length;
/** The end of a try comes from the socket, which no fake clock moves. */
const tried = (times: number) =>
  vi.waitFor(() => {
    if (tries() !== times) throw new Error(`${tries()} tries`);
  });

describe('a connection that is put off', () => {
  it('asks before the first try and tries at once where nothing is in the way', async () => {
    open(async () => undefined);
    await tried(1);
    expect(asked).toEqual([0]);
  });

  it('is not tried as long as there is a reason, looks again every second or so, and tells the reason once', async () => {
    hold = terminating;
    open(async () => hold);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(told).toEqual(['podsTerminating: waits for 1 pod']);
    expect(asked.length).toBeGreaterThanOrEqual(60);
    expect(asked.length).toBeLessThanOrEqual(130);
    expect(asked[0]).toBe(0);
    expect(asked.at(-1)).toBeGreaterThan(58_000);
    hold = undefined;
    await vi.advanceTimersByTimeAsync(1_000);
    await tried(1);
  });

  it('tells of another reason, and of the same one after a try in between', async () => {
    hold = unknown;
    open(async () => hold);
    await vi.advanceTimersByTimeAsync(3_000);
    hold = terminating;
    await vi.advanceTimersByTimeAsync(3_000);
    hold = undefined;
    await vi.advanceTimersByTimeAsync(1_000);
    await tried(1);
    const before = asked.length;
    hold = terminating;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(told.map((one) => one.split(':')[0])).toEqual([
      'podsUnknown',
      'podsTerminating',
      'unreachable',
      'podsTerminating',
    ]);
    // A try in vain is no reason to be patient all over again.
    expect(asked[before]).toBeGreaterThan(30_000);
  });

  it('waits for an answer that does not come', async () => {
    open(() => new Promise(() => undefined));
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect([asked, told]).toEqual([[0], []]);
  });

  it.each([
    ['while it waits', async () => terminating],
    ['while it asks', () => new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 500))],
  ])('is not tried once it was closed %s', async (_, whyNotNow) => {
    open(whyNotNow);
    await vi.advanceTimersByTimeAsync(100);
    connection.close();
    const before = asked.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect([asked.length, tries(), connection.connected()]).toEqual([before, 0, false]);
  });
});
