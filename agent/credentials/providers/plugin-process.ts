import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { ProviderError } from '../../errors.ts';
import { errorCodeOf } from './small-file.ts';

export type PluginProcess = {
  readonly path: string;
  readonly args: readonly string[];
  /** `NAME=value`, each name once. */
  readonly environment: readonly string[];
  readonly stdin: Buffer;
};

export type ProcessLimits = {
  /** From its start to the end of its output, ms. */
  readonly timeoutMs: number;
  readonly stdoutBytes: number;
};

/** What is counted of the error stream; its text is neither kept nor shown. */
const STDERR_BYTES = 65_536;

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/**
 * Runs a plugin once and gives what it printed. It is a process group of its own, and the group is killed
 * when the call ends, in whichever way: what a plugin has started ends with it. As kubelet does, it waits for
 * the end of the output and not only of the process, and does not mind whether the input is read.
 *
 * @throws ProviderError; no message holds anything of the output
 */
export function runPluginProcess(
  { path, args, environment, stdin }: PluginProcess,
  limits: ProcessLimits,
  signal: AbortSignal,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(closed());
      return;
    }
    let child: Child;
    try {
      child = spawn(path, args, {
        env: objectOf(environment),
        stdio: ['pipe', 'pipe', 'pipe'],
        detached: true,
      });
    } catch (error) {
      reject(cannotStart(error));
      return;
    }
    const chunks: Buffer[] = [];
    let stdoutBytes = 0;
    let stderrBytes = 0;

    let ended = false;

    function end(outcome: Buffer | ProviderError): void {
      // Once only: when the group is gone its number may be another's.
      if (ended) return;
      ended = true;
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      killGroup(child);
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
      if (Buffer.isBuffer(outcome)) resolve(outcome);
      else reject(outcome);
    }
    const abort = (): void => end(closed());
    const timer = setTimeout(() => {
      end(new ProviderError('timedOut', `it did not end within ${limits.timeoutMs} ms`));
    }, limits.timeoutMs);

    signal.addEventListener('abort', abort);
    // It may end without having read, or go away in the middle.
    child.stdin.on('error', () => {});
    child.stdin.end(stdin);
    child.stdout.on('data', (chunk: Buffer) => {
      stdoutBytes += chunk.length;
      chunks.push(chunk);
      if (stdoutBytes > limits.stdoutBytes) {
        end(new ProviderError('outputTooLarge', `it printed more than ${limits.stdoutBytes} bytes`));
      }
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderrBytes = Math.min(stderrBytes + chunk.length, STDERR_BYTES);
    });
    child.on('error', (error) => end(cannotStart(error)));
    child.on('close', (code, killedBy) => {
      const said = stderrBytes === 0 ? '' : `; its ${errorStream(stderrBytes)} are not shown here`;
      if (code === 0) end(Buffer.concat(chunks));
      else if (killedBy) end(new ProviderError('killed', `it was ended by ${killedBy}${said}`));
      else end(new ProviderError('exitedNonZero', `it ended with exit code ${code}${said}`));
    });
  });
}

function errorStream(bytes: number): string {
  return bytes === STDERR_BYTES ? '64 KiB or more of error output' : `${bytes} bytes of error output`;
}

/** An entry without `=` cannot be handed over; the agent's own environment has none. */
function objectOf(environment: readonly string[]): Record<string, string> {
  const entries = environment.flatMap((entry) => {
    const at = entry.indexOf('=', 1);
    if (at !== -1) return [[entry.slice(0, at), entry.slice(at + 1)] as const];
    return entry.startsWith('=') ? [['', entry.slice(1)] as const] : [];
  });
  return Object.fromEntries(entries);
}

/** Also after its leader has ended: the group is there as long as any process is in it. */
function killGroup({ pid }: Child): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nothing is left of it.
  }
}

function cannotStart(error: unknown): ProviderError {
  const code = errorCodeOf(error);
  if (code === 'ENOENT') return new ProviderError('binaryMissing', 'it, or its interpreter, does not exist');
  if (code === 'EACCES') return new ProviderError('binaryNotExecutable', 'it may not be executed');
  return new ProviderError('startFailed', `it cannot be started: ${code}`);
}

function closed(): ProviderError {
  return new ProviderError('closed', 'the agent is ending');
}
