import { spawn } from 'node:child_process';
import { CommandFailed } from './errors.ts';

/**
 * How a command is run: extra environment, working directory, text for its standard input, time limit in ms.
 */
export interface CommandOptions {
  cwd?: string;
  env?: Record<string, string>;
  input?: string;
  timeoutMs?: number;
}

/**
 * Runs a command to its end and returns its standard output.
 * @throws {CommandFailed} on any exit code but 0, when it cannot be started, and when the time limit passed.
 */
export function runCommand(command: string, args: string[], options: CommandOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, LC_ALL: 'C', ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: options.timeoutMs ?? 300_000,
      killSignal: 'SIGKILL',
    });
    const shown = `${command} ${args.join(' ')}`.slice(0, 200);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', (cause) => reject(new CommandFailed(shown, null, cause.message, { cause })));
    child.on('close', (code) =>
      code === 0 ? resolve(stdout) : reject(new CommandFailed(shown, code, stderr + stdout)),
    );
    // The command may end without reading its input; its exit code then says what happened.
    child.stdin.on('error', () => {});
    child.stdin.end(options.input ?? '');
  });
}
