import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { LabError } from './errors.ts';
import { endProcesses, identify, type ProcessIdentity } from './processes.ts';

/** A long-running program that the lab started. */
export interface Daemon {
  process: ProcessIdentity;
  isRunning(): boolean;
  /** Ends it and waits; SIGKILL after `graceMs` (default 5 s). Does nothing when it has ended already. */
  end(signal: NodeJS.Signals, graceMs?: number): Promise<void>;
}

/** How a daemon is started: log files are appended to; the environment is the lab's own plus `env`. */
export interface DaemonOptions {
  program: string;
  arguments: string[];
  stdoutFile: string;
  stderrFile: string;
  env?: Record<string, string>;
  /** Told about the process as soon as it is known, so that a crash of the lab leaves no orphan unknown. */
  onProcess: (process: ProcessIdentity) => Promise<void>;
}

/**
 * Starts a program in a session of its own, so that Ctrl-C reaches only the lab, which ends it in order.
 * @throws {LabError} when it cannot be started.
 */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const stdout = openSync(options.stdoutFile, 'a', 0o600);
  const stderr = openSync(options.stderrFile, 'a', 0o600);
  const child = spawn(options.program, options.arguments, {
    detached: true,
    stdio: ['ignore', stdout, stderr],
    env: { ...process.env, ...options.env },
    cwd: '/',
  });
  closeSync(stdout);
  closeSync(stderr);
  try {
    await once(child, 'spawn');
  } catch (cause) {
    throw new LabError(`cannot start ${options.program}`, { cause });
  }
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.unref();
  const identity = child.pid === undefined ? undefined : await identify(child.pid);
  if (identity === undefined)
    throw new LabError(`${options.program} ended at once, see ${options.stderrFile}`);
  await options.onProcess(identity);
  const isRunning = () => child.exitCode === null && child.signalCode === null;
  return {
    process: identity,
    isRunning,
    async end(signal, graceMs = 5_000) {
      const alive = await endProcesses([identity], signal, graceMs);
      await endProcesses(alive, 'SIGKILL', 5_000);
      // Its end is seen in /proc before Node tells of it; isRunning must not say yes in between.
      child.ref();
      if (isRunning()) await exited;
    },
  };
}
