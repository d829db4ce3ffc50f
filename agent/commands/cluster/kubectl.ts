import { execFile } from 'node:child_process';
import { CommandError } from '../../errors.ts';

/** The user's own kubectl: its contexts, credentials and plugins are what decides who may ask what. */
export type Kubectl = {
  /** Runs it to its end. Never throws for an exit code; throws CommandError when it cannot be run at all. */
  run(args: readonly string[]): Promise<KubectlResult>;
};

export type KubectlResult = {
  /** Undefined when it was ended because it took too long. */
  readonly exitCode: number | undefined;
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

const MAX_OUTPUT_BYTES = 128 * 1024 * 1024;

export function createKubectl({ program, context, kubeconfig, timeoutMs }: KubectlOptions): Kubectl {
  const global = [
    ...(context === undefined ? [] : [`--context=${context}`]),
    ...(kubeconfig === undefined ? [] : [`--kubeconfig=${kubeconfig}`]),
  ];
  return {
    run: (args) =>
      new Promise((resolve, reject) => {
        const options = { timeout: timeoutMs, maxBuffer: MAX_OUTPUT_BYTES, killSignal: 'SIGKILL' as const };
        execFile(program, [...global, ...args], options, (error, stdout, stderr) => {
          if (error === null) return resolve({ exitCode: 0, stdout, stderr });
          if (error.killed === true) return resolve({ exitCode: undefined, stdout, stderr });
          if (typeof error.code === 'number') return resolve({ exitCode: error.code, stdout, stderr });
          reject(
            new CommandError('kubectlFailed', `cannot run ${program}: ${error.message}`, { cause: error }),
          );
        });
      }),
  };
}

/** What kubectl says, on one line; it writes hints and warnings before the error. */
export function kubectlProblem({ exitCode, stderr }: KubectlResult, timeoutMs: number): string {
  if (exitCode === undefined) return `no answer within ${timeoutMs / 1_000} s`;
  const last = stderr.trim().split('\n').at(-1) ?? '';
  return last === '' ? `kubectl ended with ${exitCode}` : last.replace(/^error: /i, '');
}
