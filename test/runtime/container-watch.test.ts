import { setTimeout as sleep } from 'node:timers/promises';
import { status as grpc } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type ContainerWatch,
  type ContainerWatchOptions,
  watchContainers,
} from '../../agent/runtime/container-watch.ts';
import { type CriClient, createCriClient } from '../../agent/runtime/cri-client.ts';
import { capture, createFakeRuntime, type FakeRuntime, podLabels } from './fake-runtime.ts';

type Listed = { id: string; state: string; createdAt: string };

let runtime: FakeRuntime;
let client: CriClient;
let watch: ContainerWatch | undefined;
/** What the runtime has now. */
let present: Map<string, Listed>;
/** Everything the watch told, in order. */
let told: string[];

beforeEach(async () => {
  runtime = createFakeRuntime();
  present = new Map();
  told = [];
  runtime.answers.ListContainers = (request) => {
    const { id } = Object(request.filter);
    const containers = [...present.values()].filter((container) => id === '' || container.id === id);
    return {
      containers: containers.map((container) => ({
        ...container,
        labels: podLabels('app'),
        imageRef: 'a'.repeat(64),
      })),
    };
  };
  await runtime.start();
  client = createCriClient({ socketPath: runtime.socketPath, callTimeoutMs: 10_000 });
});
afterEach(() => {
  watch?.stop();
  client.close();
  runtime.cleanUp();
});

function add(id: string, state = 'CREATED'): void {
  present.set(id, { id, state: `CONTAINER_${state}`, createdAt: '2000' });
}

function start(options: Partial<ContainerWatchOptions> = {}): ContainerWatch {
  watch = watchContainers({
    client,
    wasSeen: (id) => id.startsWith('old'),
    relistIntervalMs: 60_000,
    pollIntervalMs: 50,
    onContainer: (container, { preexisting }) =>
      told.push(`${preexisting ? 'preexisting' : 'new'} ${container.id}`),
    onState: (id, change) => told.push(`${change} ${id}`),
    onGone: (id) => told.push(`gone ${id}`),
    onMalformedEvent: () => told.push('malformed'),
    ...options,
    timing: {
      lookupRetries: [20, 20, 20],
      settleMs: 5_000,
      reconnect: { initialMs: 20, maxMs: 100 },
      unsupported: { initialMs: 60_000, maxMs: 60_000 },
      // A stream that ends at once must be seen to, however slow the machine is.
      minStreamLifeMs: 5_000,
      ...options.timing,
    },
  });
  return watch;
}

const event = (containerId: string, type: string, sandbox = 'pod') => ({
  containerId,
  containerEventType: `CONTAINER_${type}_EVENT`,
  podSandboxStatus: { id: sandbox },
});
const until = (check: () => void) => vi.waitFor(check, { timeout: 15_000, interval: 10 });
const synced = () => until(() => expect(watch?.health()).toMatchObject({ synced: true, connected: true }));
const subscribed = () => until(() => expect(runtime.streams).toHaveLength(1));

describe('the first list', () => {
  it('tells what an earlier run had seen from what it had not, and is silent about what has ended', async () => {
    add('old', 'RUNNING');
    add('ended', 'EXITED');
    add('fresh', 'RUNNING');
    start();
    await synced();
    expect(told).toEqual(['preexisting old', 'new fresh']);
    expect(watch?.health().lastListAt).toBeGreaterThan(0);
  });

  it('comes after the subscription', async () => {
    start();
    await synced();
    expect(runtime.calls.map(({ method }) => method).slice(0, 2)).toEqual([
      'GetContainerEvents',
      'ListContainers',
    ]);
  });

  it('is followed by a second one, for what was created before the runtime had taken note of the stream', async () => {
    start({ timing: { settleMs: 100 } });
    await synced();
    add('between');
    await until(() => expect(told).toEqual(['new between']));
  });
});

describe('events', () => {
  it('make a container known once, however often and in whatever order they come', async () => {
    start();
    await synced();
    await subscribed();
    add('c1', 'RUNNING');
    for (const type of ['STARTED', 'CREATED', 'CREATED', 'STARTED']) runtime.send(event('c1', type));
    await until(() => expect(told).toEqual(['new c1']));
    runtime.send(event('c1', 'STOPPED'));
    runtime.send(event('c1', 'STARTED'));
    present.delete('c1');
    runtime.send(event('c1', 'DELETED'));
    runtime.send(event('c1', 'DELETED'));
    await until(() => expect(told).toEqual(['new c1', 'stopped c1', 'deleted c1']));
    expect(watch?.health().containers).toBe(0);
  });

  it('that arrive before the list does still report the container once', async () => {
    add('c1');
    runtime.onSubscribe = (stream) => stream.write(event('c1', 'CREATED'));
    start();
    await synced();
    await until(() => expect(watch?.health().pendingLookups).toBe(0));
    expect(told).toEqual(['new c1']);
  });

  it('tell that a container which was only created has been started', async () => {
    start();
    await synced();
    await subscribed();
    add('c1', 'CREATED');
    runtime.send(event('c1', 'CREATED'));
    await until(() => expect(told).toEqual(['new c1']));
    runtime.send(event('c1', 'STARTED'));
    await until(() => expect(told).toEqual(['new c1', 'started c1']));
  });

  it('are looked up again when the list does not show the container yet', async () => {
    start({ timing: { lookupRetries: [20, 200, 5_000] } });
    await synced();
    await subscribed();
    runtime.send(event('late', 'CREATED'));
    await until(() => expect(runtime.count('ListContainers')).toBeGreaterThan(1));
    add('late');
    await until(() => expect(told).toEqual(['new late']));
  });

  it('of a container that is gone before anybody could look are counted and forgotten', async () => {
    start();
    await synced();
    await subscribed();
    runtime.send(event('ghost', 'CREATED'));
    await until(() => expect(told).toEqual(['gone ghost']));
    expect(watch?.health().pendingLookups).toBe(0);
  });

  it.each(['1.7', '2.1', 'crio'])('recorded from %s name containers, not their sandboxes', async (name) => {
    const recorded: { containerId: string; podSandboxStatus?: { id: string } }[] = JSON.parse(
      capture('cri-events.json'),
    )[name];
    const sandboxes = new Set(recorded.map((each) => each.podSandboxStatus?.id));
    const containers = new Set(recorded.map((each) => each.containerId).filter((id) => !sandboxes.has(id)));
    start();
    await synced();
    await subscribed();
    for (const each of recorded) runtime.send(each);
    // Nothing of it exists any more: each container is gone, and of sandboxes nothing is said.
    await until(() => expect(told.toSorted()).toEqual([...containers].map((id) => `gone ${id}`).toSorted()));
  });

  it('that make no sense are counted and change nothing', async () => {
    start();
    await synced();
    await subscribed();
    runtime.send({ containerId: '', containerEventType: 0 });
    runtime.send({ containerId: 'x\n'.repeat(200), containerEventType: 1 });
    runtime.send({ containerId: 'c1', containerEventType: 42 });
    add('c2');
    runtime.send(event('c2', 'CREATED'));
    await until(() => expect(told).toEqual(['malformed', 'malformed', 'malformed', 'new c2']));
  });

  it('in thousands at once become a few lists', async () => {
    start();
    await synced();
    await subscribed();
    const ids = Array.from({ length: 3_000 }, (_, at) => `c${at}`);
    for (const id of ids) add(id);
    for (const id of ids) runtime.send(event(id, 'CREATED'));
    await until(() => expect(told).toHaveLength(ids.length));
    expect(new Set(told).size).toBe(ids.length);
    expect(runtime.count('ListContainers')).toBeLessThan(100);
  });

  it('of thousands that do not exist neither grow the memory nor flood the runtime', async () => {
    start();
    await synced();
    await subscribed();
    for (let at = 0; at < 10_000; at++) runtime.send(event(`ghost${at}`, 'CREATED'));
    await until(() => expect(told.length).toBeGreaterThanOrEqual(4_096));
    await until(() => expect(watch?.health()).toMatchObject({ pendingLookups: 0, containers: 0 }));
    expect(runtime.count('ListContainers')).toBeLessThan(1_000);
  });
});

describe('a runtime without events', () => {
  it.each([
    [
      'answers Unimplemented, as containerd 1.6',
      () => ({ code: grpc.UNIMPLEMENTED, details: 'unknown method' }),
    ],
    ['ends the stream at once, as CRI-O without enable_pod_events', () => undefined],
  ])('that %s is polled instead, without asking for the stream again and again', async (_, error) => {
    runtime.onSubscribe = (stream) => {
      const status = error();
      if (status === undefined) stream.end();
      else stream.emit('error', status);
    };
    start();
    await until(() => expect(watch?.health().eventsSupported).toBe(false));
    await synced();
    add('c1');
    await until(() => expect(told).toEqual(['new c1']));
    add('c1', 'RUNNING');
    await until(() => expect(told).toEqual(['new c1', 'started c1']));
    present.delete('c1');
    await until(() => expect(told).toEqual(['new c1', 'started c1', 'deleted c1']));
    expect(runtime.count('GetContainerEvents')).toBe(1);
  });

  it('is asked for events again after a while', async () => {
    runtime.onSubscribe = (stream) => (runtime.streams.length < 3 ? stream.end() : undefined);
    start({ timing: { unsupported: { initialMs: 20, maxMs: 100 }, minStreamLifeMs: 200 } });
    await until(() => expect(watch?.health().eventsSupported).toBe(true));
    expect(runtime.count('GetContainerEvents')).toBe(3);
  });
});

describe('a runtime that goes away', () => {
  it('is subscribed to and listed again when it is back; what happened meanwhile is told', async () => {
    add('stays', 'RUNNING');
    add('leaves', 'RUNNING');
    start();
    await synced();
    await subscribed();
    runtime.kill();
    await until(() => expect(watch?.health().connected).toBe(false));
    present.delete('leaves');
    add('comes');
    await runtime.start();
    await until(() => expect(told.slice(2).toSorted()).toEqual(['deleted leaves', 'new comes']));
    await synced();
    add('later');
    await subscribed();
    runtime.send(event('later', 'CREATED'));
    await until(() => expect(told.at(-1)).toBe('new later'));
  });

  it('is not there at first: its containers still count as preexisting once it is', async () => {
    runtime.kill();
    start();
    await until(() => expect(watch?.health()).toMatchObject({ connected: false, synced: false }));
    add('old', 'RUNNING');
    await runtime.start();
    await until(() => expect(told).toEqual(['preexisting old']));
  });

  it('that breaks the stream in the middle loses no container', async () => {
    start();
    await synced();
    await subscribed();
    add('c1');
    runtime.streams[0]?.emit('error', { code: grpc.INTERNAL, details: 'broken' });
    await until(() => expect(told).toEqual(['new c1']));
    expect(runtime.count('GetContainerEvents')).toBe(2);
  });

  it('that hangs is not connected, and is listed again once it answers', async () => {
    const answer = runtime.answers.ListContainers;
    runtime.answers.ListContainers = () => undefined;
    add('c1');
    const reasons: string[] = [];
    client.close();
    client = createCriClient({ socketPath: runtime.socketPath, callTimeoutMs: 300 });
    start({ onListFailed: (error) => reasons.push(error.reason) });
    await until(() => expect(reasons).toContain('deadline'));
    expect(watch?.health()).toMatchObject({ connected: false, synced: false });
    if (answer) runtime.answers.ListContainers = answer;
    await until(() => expect(told).toEqual(['new c1']));
  });
});

describe('stopping', () => {
  it('ends the stream, the lists and everything that is told', async () => {
    start({ relistIntervalMs: 20 });
    await synced();
    await subscribed();
    watch?.stop();
    const calls = runtime.calls.length;
    add('c1');
    runtime.send(event('c1', 'CREATED'));
    await sleep(100);
    expect(told).toEqual([]);
    // One list may have been on its way.
    expect(runtime.calls.length - calls).toBeLessThanOrEqual(1);
  });
});
