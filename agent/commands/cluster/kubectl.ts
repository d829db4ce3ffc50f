import { type ChildProcess, execFile, spawn } from 'node:child_process';
import type { ZodType } from 'zod';
import { CommandError } from '../../errors.ts';

/** The user's own kubectl: its contexts, credentials and plugins are what decides who may ask what. */
export type Kubectl = {
  /** Runs it to its end. Never throws for an exit code; throws CommandError when it cannot be run at all. */
  run(args: readonly string[], limits?: { readonly maxBytes: number }): Promise<KubectlResult>;
  /** Starts it and leaves it running, with pipes for what it reads and writes. */
  start(args: readonly string[]): ChildProcess;
};

export type KubectlResult = {
  /** Undefined when it was ended before its end: see `stopped`. */
  readonly exitCode: number | undefined;
  /** `late`: it took too long; `large`: it wrote more than may be kept. */
  readonly stopped?: 'late' | 'large';
  readonly stdout: string;
  readonly stderr: string;
};

export type KubectlOptions = {
  /** `kubectl`, or a path. */
  readonly program: string;
  readonly context?: string | undefined;
  readonly kubeconfig?: string | undefined;
  /** For one call, in ms. */
  readonly timeoutMs: number;
};

/** A list of 5,000 pods has some 50 MB. */
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;

/** Whatever runs when this process ends, by Ctrl-C too, is ended with it. */
export function createKubectl({ program, context, kubeconfig, timeoutMs }: KubectlOptions): Kubectl {
  const global = [
    ...(context === undefined ? [] : [`--context=${context}`]),
    ...(kubeconfig === undefined ? [] : [`--kubeconfig=${kubeconfig}`]),
  ];
  const running = new Set<ChildProcess>();
  const endAll = (): void => {
    for (const child of running) child.kill('SIGTERM');
  };
  const watched = (child: ChildProcess): ChildProcess => {
    if (running.size === 0) process.once('exit', endAll);
    running.add(child);
    const gone = (): void => {
      if (running.delete(child) && running.size === 0) process.removeListener('exit', endAll);
    };
    return child.once('exit', gone).once('error', gone);
  };
  return {
    run: (args, { maxBytes } = { maxBytes: MAX_OUTPUT_BYTES }) =>
      new Promise((resolve, reject) => {
        const options = { timeout: timeoutMs, maxBuffer: maxBytes, killSignal: 'SIGKILL' as const };
        const child = execFile(program, [...global, ...args], options, (error, stdout, stderr) => {
          if (error === null) return resolve({ exitCode: 0, stdout, stderr });
          if (error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') {
            return resolve({ exitCode: undefined, stopped: 'large', stdout: '', stderr });
          }
          if (error.killed === true) return resolve({ exitCode: undefined, stopped: 'late', stdout, stderr });
          if (typeof error.code === 'number') return resolve({ exitCode: error.code, stdout, stderr });
          const why = error.code === 'ENOENT' ? 'it is not there (KUBECTL names another)' : error.message;
          reject(new CommandError('kubectlFailed', `cannot run ${program}: ${why}`, { cause: error }));
        });
        watched(child);
      }),
    start: (args) => watched(spawn(program, [...global, ...args], { stdio: 'pipe' })),
  };
}

/**
 * What `kubectl get … --output json` printed, as `shape` wants it.
 *
 * @throws CommandError `kubectlFailed`
 */
export function printedObject<Value>(stdout: string, shape: ZodType<Value>): Value {
  try {
    return shape.parse(JSON.parse(stdout));
  } catch (error) {
    throw new CommandError('kubectlFailed', 'what kubectl prints is not what was asked for', {
      cause: error,
    });
  }
}

/** What kubectl says, on one line; it writes hints and warnings before the error. */
export function kubectlProblem({ exitCode, stopped, stderr }: KubectlResult, timeoutMs: number): string {
  if (stopped === 'large') return 'its answer is too large to be read (see --limit)';
  if (exitCode === undefined) return `no answer within ${timeoutMs / 1_000} s`;
  return lastLine(stderr) || `kubectl ended with ${exitCode}`;
}

/** The last line of what kubectl wrote to standard error, without its `error: `. */
export function lastLine(stderr: string): string {
  const last = stderr.trim().split('\n').at(-1) ?? '';
  return last.replace(/^error: /i, '');
}

/** True when the API server has said that this user may not do it. */
export function isForbidden({ exitCode, stderr }: KubectlResult): boolean {
  return exitCode !== undefined && exitCode !== 0 && /^Error from server \(Forbidden\): /m.test(stderr);
}
