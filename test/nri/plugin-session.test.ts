import { describe, expect, it } from 'vitest';
import { NriError } from '../../agent/errors.ts';
import type { NriConfiguration, NriContainer, NriPod } from '../../agent/nri/messages.ts';
import {
  type CreateContainerCall,
  createPluginSession,
  type PluginSession,
} from '../../agent/nri/plugin-session.ts';
import { TtrpcStatus } from '../../agent/nri/ttrpc-envelope.ts';
import { failureOf, fakeRuntime } from './fake-runtime.ts';

const pod = { id: 'sandbox-1', name: 'web', uid: 'uid-1', namespace: 'team-a' };
const container = { id: 'container-1', podSandboxId: 'sandbox-1', name: 'main' };

/** A plugin and a runtime, wired to each other without a socket. */
function wired(
  onCreateContainer: (pod: NriPod, container: NriContainer, call: CreateContainerCall) => Promise<void>,
) {
  const configurations: NriConfiguration[] = [];
  const synchronized: { pods: number; containers: string[] }[] = [];
  const session: PluginSession = createPluginSession({
    name: 'pullwarden',
    index: '90',
    write: (bytes) => runtime.receive(bytes),
    onConfigure: (configuration) => configurations.push(configuration),
    onSynchronize: (pods, containers) =>
      synchronized.push({ pods: pods.length, containers: containers.map(({ id }) => id) }),
    onCreateContainer,
  });
  const runtime = fakeRuntime(session.receive);
  return { session, runtime, configurations, synchronized };
}

const allow = async () => {};

describe('a plugin on one connection', () => {
  it('registers, is configured and subscribes to CreateContainer alone', async () => {
    const { session, runtime, configurations } = wired(allow);
    await session.register();
    expect(runtime.registered).toEqual(['90-pullwarden']);
    const answer = await runtime.call('Configure', { runtimeName: 'containerd', requestTimeout: 1_500 });
    expect(answer).toEqual({ events: 0b1000 });
    expect(configurations).toMatchObject([{ runtimeName: 'containerd', requestTimeoutMs: 1_500 }]);
  });

  it('says that the runtime refuses it', async () => {
    const session = createPluginSession({
      name: 'pullwarden',
      index: '90',
      write: (bytes) => runtime.receive(bytes),
      onSynchronize() {},
      onCreateContainer: allow,
    });
    const runtime = fakeRuntime(session.receive, () =>
      Promise.reject(new TtrpcStatus(2, 'invalid plugin name')),
    );
    await expect(session.register()).rejects.toMatchObject({
      reason: 'registrationRefused',
      message: expect.stringContaining('invalid plugin name'),
    });
  });

  it('collects what exists over several parts, answers `more` to each, and tells of it once', async () => {
    const { session, runtime, synchronized } = wired(allow);
    const part = (id: string, more: boolean) => ({ pods: [pod], containers: [{ ...container, id }], more });
    expect(await runtime.call('Synchronize', part('c1', true))).toEqual({ more: true });
    expect(await runtime.call('Synchronize', part('c2', true))).toEqual({ more: true });
    expect([synchronized, session.synchronized()]).toEqual([[], false]);
    expect(await runtime.call('Synchronize', part('c3', false))).toEqual({});
    expect(synchronized).toEqual([{ pods: 3, containers: ['c1', 'c2', 'c3'] }]);
    expect(session.synchronized()).toBe(true);
  });

  it('allows a container by answering, and refuses it by the message that kubelet will show', async () => {
    const { runtime } = wired(async (asked) => {
      if (asked.namespace !== 'team-a') throw new Error('image pull credentials were not verified');
    });
    expect(await runtime.call('CreateContainer', { pod, container })).toEqual({});
    const other = { ...pod, namespace: 'team-b' };
    await expect(runtime.call('CreateContainer', { pod: other, container })).rejects.toMatchObject({
      code: 2,
      message: 'image pull credentials were not verified',
    });
  });

  it('keeps a refusal on one line, short and valid UTF-8, and never leaves it without words', async () => {
    const texts = [`${'x'.repeat(1_022)}😀 and more`, `two\nlines\u001b[31m${'x'.repeat(5_000)}`, ''];
    const { runtime } = wired(() => Promise.reject(new Error(texts.shift())));
    const refusal = async () =>
      runtime.call('CreateContainer', { pod, container }).then(
        () => 'allowed',
        (error: unknown) => (error instanceof TtrpcStatus ? error.message : 'another error'),
      );
    expect(await refusal()).toBe(`${'x'.repeat(1_022)}\ufffd…`);
    const long = await refusal();
    expect(long.startsWith('two\\nlines\\u001b[31mxxx')).toBe(true);
    expect(long.length).toBeLessThan(1_100);
    expect(await refusal()).toBe('refused');
  });

  it('refuses with Unknown whatever code the refusal carries, because the runtime reads meaning into others', async () => {
    const { runtime } = wired(() => Promise.reject(new TtrpcStatus(4, 'not yet verified')));
    await expect(runtime.call('CreateContainer', { pod, container })).rejects.toMatchObject({
      code: 2,
      message: 'not yet verified',
    });
  });

  it('refuses a container that it cannot make out', async () => {
    const { runtime } = wired(allow);
    await expect(runtime.call('CreateContainer', { pod })).rejects.toMatchObject({ code: 3 });
  });

  it('tells how long the runtime waits: by the call, else by Configure, else 2 s', async () => {
    const left: number[] = [];
    const { runtime } = wired(async (_pod, _container, { deadlineMs }) => {
      left.push(Math.round((deadlineMs - performance.now()) / 100) * 100);
    });
    await runtime.call('CreateContainer', { pod, container }, 700);
    await runtime.call('CreateContainer', { pod, container }, 0.000_000_1).catch(() => {});
    await runtime.call('Configure', { requestTimeout: 400 });
    await runtime.call('CreateContainer', { pod, container }, 0.000_000_1).catch(() => {});
    expect(left).toEqual([700, 2_000, 400]);
  });

  it('leaves what it has not subscribed to unanswered but for a status', async () => {
    const { runtime } = wired(allow);
    await expect(runtime.call('StartContainer', { pod, container })).rejects.toMatchObject({ code: 12 });
  });

  it('tells a runtime that shuts down from one that goes away', async () => {
    const { session, runtime } = wired(allow);
    expect(session.end().reason).toBe('closed');
    await runtime.call('Shutdown', {});
    expect(session.end().reason).toBe('shutdown');
    session.receive(Buffer.from([0, 0]));
    expect(session.end().reason).toBe('truncated');
  });

  it('refuses a Synchronize that never ends, and keeps no more of it', () => {
    const { session, runtime } = wired(allow);
    const pods = Array.from({ length: 10_000 }, () => pod);
    const flood = () => {
      for (let parts = 0; parts < 5; parts += 1)
        runtime.call('Synchronize', { pods, more: true }).catch(() => {});
    };
    expect(failureOf(flood)).toBeUndefined();
    const answer = runtime.call('Synchronize', { pods: [pod], more: true });
    expect(session.synchronized()).toBe(false);
    return expect(answer).rejects.toMatchObject({ message: expect.stringContaining('more than 0 pods') });
  });

  it('aborts a question that nobody waits for any more', async () => {
    const signals: AbortSignal[] = [];
    const { session, runtime } = wired((_pod, _container, { signal }) => {
      signals.push(signal);
      return new Promise(() => {});
    });
    const answer = runtime.call('CreateContainer', { pod, container });
    session.close(new NriError('closed', 'gone'));
    runtime.end();
    await expect(answer).rejects.toMatchObject({ reason: 'closed' });
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
  });
});
