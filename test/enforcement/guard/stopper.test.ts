import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { createStopper } from '../../../agent/enforcement/guard/stopper.ts';
import type { StopOutcome } from '../../../agent/enforcement/plan.ts';
import { RuntimeError } from '../../../agent/errors.ts';
import type { ContainerState } from '../../../agent/runtime/runtime.ts';

/**
 * A runtime of one container whose state the test moves. It behaves as containerd's StopContainer does: a
 * container that is only created is left alone without an error. The real one is in test/node/.
 */
function runtimeOf(initial: ContainerState | undefined) {
  const runtime = {
    state: initial,
    failures: 0,
    stops: 0,
    async containerState(): Promise<ContainerState | undefined> {
      return runtime.state;
    },
    async stopContainer(): Promise<boolean> {
      runtime.stops += 1;
      if (runtime.failures > 0) {
        runtime.failures -= 1;
        throw new RuntimeError('unreachable', 'connection refused');
      }
      if (runtime.state === undefined) return false;
      if (runtime.state === 'running') runtime.state = 'exited';
      return true;
    },
  };
  return runtime;
}

const NAMES = { containerName: 'app', pod: { namespace: 'team-b', name: 'web', uid: 'u' } };

function stopperOf(runtime: ReturnType<typeof runtimeOf>) {
  const later: StopOutcome[] = [];
  return {
    later,
    stopper: createStopper({
      runtime,
      onLaterOutcome(_id, outcome, names) {
        expect(names).toBe(NAMES);
        later.push(outcome);
      },
    }),
  };
}

describe('stopping a container that must not run', () => {
  it('stops one that runs', async () => {
    const runtime = runtimeOf('running');
    expect(await stopperOf(runtime).stopper.mustNotRun('c1', NAMES)).toBe('stopped');
    expect(runtime.state).toBe('exited');
  });

  it('says so when there is nothing left to stop', async () => {
    expect(await stopperOf(runtimeOf('exited')).stopper.mustNotRun('c1', NAMES)).toBe('alreadyExited');
    expect(await stopperOf(runtimeOf(undefined)).stopper.mustNotRun('c1', NAMES)).toBe('gone');
  });

  it('waits for one that is created but not started, and stops it as soon as it runs', async () => {
    const runtime = runtimeOf('created');
    const outcome = stopperOf(runtime).stopper.mustNotRun('c1', NAMES);
    await sleep(120);
    expect(runtime.stops).toBe(0);
    runtime.state = 'running';
    expect(await outcome).toBe('stopped');
  });

  it('stops it again when it is seen running again', async () => {
    const runtime = runtimeOf('running');
    const { stopper, later } = stopperOf(runtime);
    await stopper.mustNotRun('c1', NAMES);
    runtime.state = 'running';
    stopper.onRunning('c1');
    await vi.waitFor(() => expect(later).toEqual(['stopped']));
    expect(runtime.state).toBe('exited');
  });

  it('leaves alone what it was never asked to stop, and what it was asked to forget', async () => {
    const runtime = runtimeOf('running');
    const { stopper } = stopperOf(runtime);
    stopper.onRunning('c1');
    await stopper.mustNotRun('c2', NAMES);
    stopper.forget('c2');
    runtime.state = 'running';
    stopper.onRunning('c2');
    await sleep(20);
    expect(runtime.state).toBe('running');
  });

  it('remembers nothing of one that was gone already', async () => {
    const runtime = runtimeOf(undefined);
    const { stopper } = stopperOf(runtime);
    expect(await stopper.mustNotRun('c1', NAMES)).toBe('gone');
    runtime.state = 'running';
    stopper.onRunning('c1');
    await sleep(20);
    expect(runtime.stops).toBe(0);
  });

  it('goes on trying when the runtime does not answer', async () => {
    const runtime = runtimeOf('running');
    runtime.failures = 2;
    const { stopper, later } = stopperOf(runtime);
    expect(await stopper.mustNotRun('c1', NAMES)).toBe('failed');
    await vi.waitFor(() => expect(later).toEqual(['failed', 'stopped']), { timeout: 5_000 });
  });

  it('ends its work when it is closed', async () => {
    const runtime = runtimeOf('created');
    const { stopper } = stopperOf(runtime);
    const outcome = stopper.mustNotRun('c1', NAMES);
    await sleep(20);
    await stopper.close();
    expect(await outcome).toBe('notStarted');
  });
});
