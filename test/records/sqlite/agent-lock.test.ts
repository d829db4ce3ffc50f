import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import { acquireAgentLock, type LockHolder, tryAgentLock } from '../../../agent/records/sqlite/agent-lock.ts';
import { useStateDirectory } from '../state-directory.ts';

const stateDir = useStateDirectory();

/** Another process that has the lock, until it is killed. */
async function startHolder() {
  const script = join(import.meta.dirname, 'child-lock-holder.ts');
  const child = spawn(process.execPath, [script, stateDir()], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  for await (const line of createInterface({ input: child.stdout })) if (line === 'locked') break;
  return { child, exited };
}

describe('the lock of a state directory', () => {
  it('is had by one process, which the other is told of, and passes on when that one is killed', async () => {
    const { child, exited } = await startHolder();
    const heldBy: LockHolder = { pid: child.pid ?? 0, host: hostname() };
    expect(tryAgentLock(stateDir())).toEqual({ heldBy });

    const waitedFor: unknown[] = [];
    const waiting = acquireAgentLock(stateDir(), { onWaiting: (holder) => waitedFor.push(holder) });
    expect(waitedFor).toEqual([heldBy]);
    child.kill('SIGKILL');
    await exited;
    const lock = await waiting;
    expect(waitedFor).toHaveLength(1);
    lock.release();
  });

  it('is in files for the owner only', () => {
    const attempt = tryAgentLock(stateDir());
    for (const file of readdirSync(stateDir())) {
      expect([file, statSync(join(stateDir(), file)).mode & 0o777]).toEqual([file, 0o600]);
    }
    if ('acquired' in attempt) attempt.acquired.release();
  });

  it('is free after its release', () => {
    for (let time = 0; time < 2; time += 1) {
      const attempt = tryAgentLock(stateDir());
      expect(attempt).toHaveProperty('acquired');
      if ('acquired' in attempt) attempt.acquired.release();
    }
  });

  it('is no longer waited for when the agent is to end', async () => {
    const { child, exited } = await startHolder();
    const ending = new AbortController();
    const waiting = acquireAgentLock(stateDir(), { signal: ending.signal, onWaiting: () => ending.abort() });
    await expect(waiting).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
    child.kill('SIGKILL');
    await exited;
  });
});
