import { spawn } from 'node:child_process';
import { z } from 'zod';
import { ApiError } from '../errors.ts';
import { errorCode } from './error-code.ts';

/** What an exec plugin hands out (client.authentication.k8s.io ExecCredential). Must never be logged. */
export type ExecCredential = {
  readonly token?: string | null | undefined;
  readonly clientCertificateData?: string | null | undefined;
  readonly clientKeyData?: string | null | undefined;
  readonly expirationTimestamp?: string | null | undefined;
};

export type ExecConfig = {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
};

export type ExecPlugin = {
  /**
   * The one that is in force, or a new one.
   *
   * @throws ApiError identityUnusable
   */
  credential(config: ExecConfig): Promise<ExecCredential>;
  /** The API server refused it: the next is a new one. */
  forget(): void;
  /** Ends a plugin that is running. */
  close(): void;
};

export type ExecPluginOptions = {
  /** How long a plugin may take, ms. */
  readonly timeoutMs: number;
  /**
   * After a failure, or a credential that was refused or had expired at once, the plugin is left alone for
   * so long, ms.
   */
  readonly pauseMs: number;
};

const MAX_OUTPUT_BYTES = 1_048_576;

const execCredential = z.object({
  kind: z.literal('ExecCredential'),
  status: z.object({
    token: z.string().nullish(),
    clientCertificateData: z.string().nullish(),
    clientKeyData: z.string().nullish(),
    expirationTimestamp: z.string().nullish(),
  }),
});

/** Times are of the monotonic clock, ms. */
type Run = {
  readonly config: string;
  readonly beganAt: number;
  readonly outcome: Promise<ExecCredential>;
  state: 'running' | 'failed' | { readonly validUntil: number };
};

/**
 * Runs the exec plugin of a kubeconfig (KEP-541) and keeps what it says until that expires. Its time and
 * output are bounded, and it ends with all that it started. What it prints may hold a credential, so none of
 * it leaves this file.
 */
export function createExecPlugin({ timeoutMs, pauseMs }: ExecPluginOptions): ExecPlugin {
  const closing = new AbortController();
  let last: Run | undefined;
  let refused = false;

  function start(config: ExecConfig, key: string): Promise<ExecCredential> {
    const outcome = run(config, AbortSignal.any([closing.signal, AbortSignal.timeout(timeoutMs)]));
    const started: Run = { config: key, beganAt: performance.now(), outcome, state: 'running' };
    outcome.then(
      (credential) => {
        started.state = { validUntil: performance.now() + lifetimeOf(credential) };
      },
      () => {
        started.state = 'failed';
      },
    );
    last = started;
    refused = false;
    return outcome;
  }

  function isUsable({ state }: Run): boolean {
    return typeof state === 'object' && !refused && performance.now() < state.validUntil;
  }

  return {
    async credential(config) {
      const key = JSON.stringify(config);
      if (last?.config !== key) return start(config, key);
      if (last.state === 'running' || isUsable(last)) return last.outcome;
      const recent = performance.now() - last.beganAt < pauseMs;
      return recent ? last.outcome : start(config, key);
    },
    forget() {
      refused = true;
    },
    close: () => closing.abort(),
  };
}

/**
 * Ms from now. The plugin's date is compared with this node's clock once; should that be wrong, the API
 * server refuses the credential in time, and `forget` asks for another.
 */
function lifetimeOf({ expirationTimestamp }: ExecCredential): number {
  const until = expirationTimestamp ? Date.parse(expirationTimestamp) : Number.NaN;
  return Number.isNaN(until) ? Number.POSITIVE_INFINITY : until - Date.now();
}

async function run({ command, args, env }: ExecConfig, signal: AbortSignal): Promise<ExecCredential> {
  const fail = (what: string): ApiError =>
    new ApiError('identityUnusable', `exec plugin ${command.slice(0, 256)}: ${what}`);
  const output = await outputOf(command, args, env, signal, fail);
  let credential: z.infer<typeof execCredential> | undefined;
  try {
    credential = execCredential.safeParse(JSON.parse(output)).data;
  } catch {
    throw fail('it did not print JSON');
  }
  if (!credential) throw fail('it did not print an ExecCredential');
  const { status } = credential;
  if (!status.token && !(status.clientCertificateData && status.clientKeyData)) {
    throw fail('it gave neither a token nor a certificate with its key');
  }
  return status;
}

/** Its standard output; the error stream is not even read. */
function outputOf(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  signal: AbortSignal,
  fail: (what: string) => ApiError,
): Promise<string> {
  return new Promise((resolve, reject) => {
    // A group of its own: what a plugin has started itself must end with it.
    const child = spawn(command, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'ignore'],
      detached: true,
    });
    const chunks: Buffer[] = [];
    let length = 0;

    function end(outcome: string | ApiError): void {
      signal.removeEventListener('abort', abort);
      child.stdout.destroy();
      if (typeof outcome === 'string') resolve(outcome);
      else reject(outcome);
    }
    function kill(what: string): void {
      if (child.pid !== undefined) {
        try {
          process.kill(-child.pid, 'SIGKILL');
        } catch {
          // It has just ended.
        }
      }
      end(fail(what));
    }
    const abort = (): void => kill('it took too long');

    child.stdout.on('data', (chunk: Buffer) => {
      length += chunk.length;
      chunks.push(chunk);
      if (length > MAX_OUTPUT_BYTES) kill('it printed too much');
    });
    child.on('error', (error) => end(fail(`cannot be run: ${errorCode(error)}`)));
    child.on('close', (code, by) => {
      if (code === 0) end(Buffer.concat(chunks).toString('utf8'));
      else end(fail(`it failed with ${by ?? `exit code ${code}`}`));
    });
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort);
  });
}
