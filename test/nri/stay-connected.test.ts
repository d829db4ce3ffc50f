import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Connection } from '../../agent/nri/connect.ts';
import type { NriPlugin } from '../../agent/nri/plugin.ts';
import { type StayConnectedOptions, stayConnected } from '../../agent/nri/stay-connected.ts';
import { openRuntimeSocket, type RuntimeSocket } from './runtime-socket.ts';

const allowing: NriPlugin = { createContainer: () => undefined };

describe('a plugin that stays connected', () => {
  let socket: RuntimeSocket;
  let connection: Connection | undefined;

  beforeEach(async () => {
    socket = await openRuntimeSocket();
  });

  afterEach(async () => {
    connection?.close();
    await socket.close();
  });

  function open(events: Partial<NriPlugin>, options: Partial<StayConnectedOptions>): Connection {
    const reconnect = { initialMs: 5, maxMs: 20 };
    connection = stayConnected(
      { ...allowing, ...events },
      { socketPath: socket.path, reconnect, ...options },
    );
    return connection;
  }

  it('waits for a socket that appears later, and comes back whenever the runtime does', async () => {
    const away: string[] = [];
    let wake: (what: string) => void = () => {};
    const next = (wanted: string) =>
      new Promise<void>((resolve) => {
        wake = (what) => what === wanted && resolve();
      });
    const missing = next('disconnected');
    const opened = open(
      { synchronize: () => wake('connected') },
      {
        onDisconnected(error) {
          away.push(error.reason);
          wake('disconnected');
        },
      },
    );
    await missing;
    expect([away, opened.connected()]).toEqual([['unreachable'], false]);

    for (const _round of [1, 2]) {
      const connected = next('connected');
      await socket.listenAsRuntime();
      await connected;
      expect(opened.connected()).toBe(true);
      const gone = next('disconnected');
      await socket.stopListening();
      await gone;
      expect(opened.connected()).toBe(false);
    }
    // Which of the two it is depends on what was in flight when the runtime died.
    expect(away.filter((reason) => reason === 'closed' || reason === 'socket')).toHaveLength(2);
  });

  it('waits longer after each try in vain, but never longer than the most', async () => {
    const delays: number[] = [];
    await new Promise<void>((resolve) => {
      open(
        {},
        {
          reconnect: { initialMs: 4, maxMs: 16 },
          onDisconnected(_error, retryInMs) {
            delays.push(retryInMs);
            if (delays.length === 5) resolve();
          },
        },
      );
    });
    for (const [at, most] of [4, 8, 16, 16, 16].entries()) {
      expect(delays[at]).toBeGreaterThanOrEqual(most / 2);
      expect(delays[at]).toBeLessThanOrEqual(most);
    }
  });

  it('is patient from the start again once it was connected', async () => {
    const asked: number[] = [];
    await socket.listenAsRuntime();
    const opened = open(
      {},
      {
        async mayRegister(waitedMs) {
          asked.push(waitedMs);
          return asked.length === 3;
        },
      },
    );
    await expect.poll(() => opened.connected(), { timeout: 5_000 }).toBe(true);
    expect([asked.length, asked[0]]).toEqual([3, 0]);
    expect(asked[2]).toBeGreaterThan(100);
    await socket.stopListening();
    await expect.poll(() => asked.length, { timeout: 5_000 }).toBe(4);
    expect([asked[3], opened.connected()]).toEqual([0, false]);
  });
});

describe('a plugin that may not register yet', () => {
  let connection: Connection;
  let asked: number[];
  let ended: string[];

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    asked = [];
    ended = [];
  });

  afterEach(() => {
    connection.close();
    vi.useRealTimers();
  });

  /** At a socket that nobody listens at: each try ends as `unreachable`. */
  function open(mayRegister: (waitedMs: number) => Promise<boolean>, onDisconnected = () => {}): void {
    connection = stayConnected(allowing, {
      socketPath: '/nowhere/nri.sock',
      reconnect: { initialMs: 60_000, maxMs: 60_000 },
      mayRegister(waitedMs) {
        asked.push(waitedMs);
        return mayRegister(waitedMs);
      },
      onDisconnected({ reason }) {
        ended.push(reason);
        onDisconnected();
      },
    });
  }

  /** The end of a try comes from the socket, which no fake clock moves. */
  const tried = (times: number) => vi.waitFor(() => expect(ended).toEqual(Array(times).fill('unreachable')));

  it('is asked about before the first try, which comes at once where it may', async () => {
    open(async () => true);
    await tried(1);
    expect(asked).toEqual([0]);
  });

  it('is not tried as long as it may not, and is asked about again every second or so', async () => {
    let may = false;
    open(async () => may);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(ended).toEqual([]);
    expect(asked.length).toBeGreaterThanOrEqual(60);
    expect(asked.length).toBeLessThanOrEqual(130);
    expect(asked[0]).toBe(0);
    expect(asked.at(-1)).toBeGreaterThan(58_000);
    may = true;
    await vi.advanceTimersByTimeAsync(1_000);
    await tried(1);
  });

  it('has waited since the first no, also after a try in vain', async () => {
    let may = false;
    open(async () => may);
    await vi.advanceTimersByTimeAsync(3_000);
    may = true;
    await vi.advanceTimersByTimeAsync(1_000);
    await tried(1);
    const before = asked.length;
    may = false;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked[before]).toBeGreaterThan(30_000);
  });

  it('waits for an answer that does not come', async () => {
    open(() => new Promise(() => undefined));
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect([asked, ended]).toEqual([[0], []]);
  });

  it.each([
    ['while it waits', async () => false],
    ['while it asks', () => new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 500))],
  ])('is not tried once it was closed %s', async (_, mayRegister) => {
    open(mayRegister);
    await vi.advanceTimersByTimeAsync(100);
    connection.close();
    const before = asked.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect([asked.length, ended, connection.connected()]).toEqual([before, [], false]);
  });

  it('is not tried again once it was closed because a try failed', async () => {
    open(
      async () => true,
      () => connection.close(),
    );
    await tried(1);
    await vi.advanceTimersByTimeAsync(600_000);
    expect([asked.length, ended.length]).toEqual([1, 1]);
  });
});
