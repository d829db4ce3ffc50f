import { describe, expect, it } from 'vitest';
import type { NriConfiguration, PodOfContainer } from '../../agent/nri/messages.ts';
import type { NriPlugin } from '../../agent/nri/plugin.ts';
import { createSession, type Session } from '../../agent/nri/session.ts';
import { TtrpcStatus } from '../../agent/nri/ttrpc-envelope.ts';
import { fakeRuntime } from './fake-runtime.ts';

const pod = { id: 'sandbox-1', name: 'web', uid: 'uid-1', namespace: 'team-a' };
const container = { id: 'container-1', podSandboxId: 'sandbox-1', name: 'main' };

/** A plugin and a runtime, wired to each other without a socket. */
function wired(
  createContainer: NriPlugin['createContainer'],
  isAsked: (asked: PodOfContainer) => boolean = () => true,
) {
  const configurations: NriConfiguration[] = [];
  let synchronized = 0;
  const session: Session = createSession({
    name: 'pullwarden',
    index: '90',
    write: (bytes) => runtime.receive(bytes),
    plugin: {
      configure: (configuration) => configurations.push(configuration),
      synchronize: () => {
        synchronized += 1;
      },
      isAsked,
      createContainer,
    },
  });
  const runtime = fakeRuntime(session.receive);
  return { session, runtime, configurations, synchronized: () => synchronized };
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
    const session = createSession({
      name: 'pullwarden',
      index: '90',
      write: (bytes) => runtime.receive(bytes),
      plugin: { createContainer: allow },
    });
    const runtime = fakeRuntime(session.receive, () =>
      Promise.reject(new TtrpcStatus(2, 'invalid plugin name')),
    );
    await expect(session.register()).rejects.toMatchObject({
      reason: 'registrationRefused',
      message: expect.stringContaining('invalid plugin name'),
    });
  });

  it('is asked from the last part of what exists on, and answers `more` to each part before', async () => {
    const { session, runtime, synchronized } = wired(allow);
    const part = (more: boolean) => ({ pods: [pod], containers: [container], more });
    expect(await runtime.call('Synchronize', part(true))).toEqual({ more: true });
    expect(await runtime.call('Synchronize', part(true))).toEqual({ more: true });
    expect([synchronized(), session.synchronized()]).toEqual([0, false]);
    expect(await runtime.call('Synchronize', part(false))).toEqual({});
    expect([synchronized(), session.synchronized()]).toEqual([1, true]);
  });

  it('takes any amount of what exists: 128 parts with 1 MiB of environment in each', async () => {
    const { session, runtime } = wired(allow);
    const env = [`A=${'x'.repeat(1024 * 1024)}`];
    for (let left = 127; left >= 0; left -= 1) {
      await runtime.call('Synchronize', { containers: [{ ...container, env }], more: left > 0 });
    }
    expect(session.synchronized()).toBe(true);
  });

  it('allows a container by answering, and refuses it by the message that kubelet will show', async () => {
    const { runtime } = wired(async ({ pod: { namespace } }) => {
      if (namespace !== 'team-a') throw new Error('image pull credentials were not verified');
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

  it('refuses nothing of a pod that it need not be asked about, and looks at nothing else of it', async () => {
    let asked = 0;
    const { runtime } = wired(
      async () => {
        asked += 1;
      },
      ({ namespace }) => namespace !== 'kube-system',
    );
    const system = { ...pod, namespace: 'kube-system' };
    expect(await runtime.call('CreateContainer', { pod: system })).toEqual({});
    expect(await runtime.call('CreateContainer', { pod: system, container })).toEqual({});
    expect(asked).toBe(0);
  });

  it('tells how long the runtime waits: by the call, else by Configure, else 2 s', async () => {
    const left: number[] = [];
    const { runtime } = wired(async (_request, deadlineMs) => {
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
    expect(session.whyEnded().reason).toBe('closed');
    await runtime.call('Shutdown', {});
    expect(session.whyEnded().reason).toBe('shutdown');
    session.receive(Buffer.from([0, 0]));
    expect(session.whyEnded().reason).toBe('truncated');
  });

  it.each(['Configure', 'Synchronize'])(
    'names its own fault when it answered %s with an error',
    async (method) => {
      const { session, runtime } = wired(allow);
      await expect(runtime.send(method, Buffer.from([0xff]))).rejects.toMatchObject({ code: 3 });
      expect(session.whyEnded()).toMatchObject({
        reason: 'malformed',
        message: `${method} was answered with an error: these bytes are no ${method}Request`,
      });
    },
  );

  it('names a runtime that takes it in, but does not get to the end of telling what exists', async () => {
    const { session, runtime } = wired(allow);
    expect(session.whyEnded().reason).toBe('closed');
    await runtime.call('Configure', { requestTimeout: 2_000 });
    expect(session.whyEnded()).toMatchObject({
      reason: 'synchronizeUnfinished',
      message: expect.stringMatching(
        /gave up telling it what exists after 0 bytes: it has 2000 ms for all of it/,
      ),
    });
    await runtime.call('Synchronize', { pods: [pod], more: true });
    expect(session.whyEnded().message).toMatch(/what exists after [1-9]\d* bytes/);
    await runtime.call('Synchronize', { pods: [pod] });
    expect(session.whyEnded().reason).toBe('closed');
  });

  it('names the call that was not answered in time, and none that was', async () => {
    const late = wired(() => new Promise(() => {}));
    const answer = late.runtime.call('CreateContainer', { pod, container }, 5);
    await expect(answer).rejects.toThrow();
    expect(late.session.causeOfDrop()).toMatchObject({
      reason: 'deadline',
      message: 'CreateContainer was not answered in time',
    });
    const inTime = wired(allow);
    await inTime.runtime.call('CreateContainer', { pod, container });
    void inTime.runtime.call('CreateContainer', { pod, container }, 60_000);
    expect(inTime.session.causeOfDrop()).toBeUndefined();
  });
});
