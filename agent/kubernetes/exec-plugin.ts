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
  /** The one that is in force, or a new one. Throws ApiError identityUnusable. */
  credential(config: ExecConfig): Promise<ExecCredential>;
  /** The API server refused it: the next is a new one. */
  forget(): void;
  /** Ends a plugin that is running. */
  close(): void;
};

export type ExecPluginOptions = {
  /** How long a plugin may take, ms. */
  readonly timeoutMs: number;
  /** After a failure, or a credential that was refused at once, the plugin is not run again for so long, ms. */
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

type Run = {
  readonly config: string;
  readonly at: number;
  readonly outcome: Promise<ExecCredential>;
  ended: 'well' | 'badly' | undefined;
};

/**
 * Runs the exec plugin of a kubeconfig (KEP-541) and keeps what it says until that expires. The official client's
 * ExecAuth sets no limit to its time and output, leaves a plugin that hangs running, and repeats what it printed in
 * errors; a plugin's words may hold a credential, so none of them leave this file.
 */
export function createExecPlugin({ timeoutMs, pauseMs }: ExecPluginOptions): ExecPlugin {
  const closing = new AbortController();
  let last: Run | undefined;
  let refused = false;

  function start(config: ExecConfig, key: string): Promise<ExecCredential> {
    const outcome = run(config, AbortSignal.any([closing.signal, AbortSignal.timeout(timeoutMs)]));
    const started: Run = { config: key, at: performance.now(), outcome, ended: undefined };
    outcome.then(
      () => {
        started.ended = 'well';
      },
      () => {
        started.ended = 'badly';
      },
    );
    last = started;
    refused = false;
    return outcome;
  }

  return {
    async credential(config) {
      const key = JSON.stringify(config);
      if (last?.config !== key) return start(config, key);
      if (last.ended === undefined) return last.outcome;
      const recent = performance.now() - last.at < pauseMs;
      if (recent && (refused || last.ended === 'badly')) return last.outcome;
      if (refused || last.ended === 'badly') return start(config, key);
      return isExpired(await last.outcome) ? start(config, key) : last.outcome;
    },
    forget() {
      refused = true;
    },
    close: () => closing.abort(),
  };
}

function isExpired({ expirationTimestamp }: ExecCredential): boolean {
  return expirationTimestamp ? Date.parse(expirationTimestamp) <= Date.now() : false;
}

async function run({ command, args, env }: ExecConfig, signal: AbortSignal): Promise<ExecCredential> {
  const fail = (what: string): ApiError =>
    new ApiError('identityUnusable', `exec plugin ${command.slice(0, 256)}: ${what}`);
  const output = await outputOf(command, args, env, signal, fail);
  let credential: z.infer<typeof execCredential> | undefined;
  try {
    credential = execCredential.safeParse(JSON.parse(output)).data;
  } catch {
    throw fail('what it printed is no JSON');
  }
  if (!credential) throw fail('what it printed is no ExecCredential');
  const { status } = credential;
  if (!status.token && !(status.clientCertificateData && status.clientKeyData)) {
    throw fail('it gave neither token nor certificate and key');
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
