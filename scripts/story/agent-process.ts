import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

/** One verdict line of the agent's log. */
const verdictLine = z.object({
  msg: z.literal('verdict'),
  /** When it was written. */
  time: z.iso.datetime(),
  namespace: z.string(),
  pod: z.string(),
  container: z.string(),
  containerId: z.string(),
  image: z.string(),
  imageRef: z.string(),
  verdict: z.enum(['allowed', 'denied', 'unverifiable']),
  reason: z.string(),
  durationMs: z.number(),
});

export type VerdictLine = z.infer<typeof verdictLine>;

const servingLine = z.object({ msg: z.literal('serving'), address: z.string() });

export type AgentProcess = {
  readonly pid: number;
  /** Everything it has written to standard error so far. */
  log(): string;
  verdicts(): readonly VerdictLine[];
  /** The first verdict on this container id that fits; throws after the time limit (ms). */
  verdictOf(containerId: string, timeoutMs?: number): Promise<VerdictLine>;
  /** The first verdict on any container of this pod; throws after the time limit (ms). */
  verdictOfPod(
    pod: { readonly namespace: string; readonly name: string },
    timeoutMs?: number,
  ): Promise<VerdictLine>;
  /** GET on the agent's own listener. */
  get(
    path: '/metrics' | '/healthz' | '/readyz' | '/readyz?verbose',
  ): Promise<{ status: number; body: string }>;
  /** Waits until /readyz answers 200; throws with its reasons after the time limit (ms). */
  ready(timeoutMs?: number): Promise<void>;
  /** Ends it in order (SIGTERM) and gives its exit code. */
  stop(): Promise<number | null>;
  /** SIGKILL. */
  kill(): Promise<void>;
  readonly exited: Promise<number | null>;
};

const main = fileURLToPath(new URL('../../agent/main.ts', import.meta.url));

/**
 * Starts the real agent as a process of its own; flags as on the command line. `program` are Node's arguments
 * up to the agent's entry point, which is that of the sources unless another is named.
 */
export function startAgent(
  flags: readonly string[],
  { env = {}, program = [main] }: { env?: Record<string, string>; program?: readonly string[] } = {},
): AgentProcess {
  const child: ChildProcess = spawn(
    process.execPath,
    [...program, 'agent', '--listen-address', '127.0.0.1:0', '--log-format', 'json', ...flags],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } },
  );
  const lines: string[] = [];
  const verdicts: VerdictLine[] = [];
  let address: string | undefined;
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));

  if (child.stderr) {
    createInterface({ input: child.stderr }).on('line', (line) => {
      lines.push(line);
      const entry = jsonOf(line);
      const verdict = verdictLine.safeParse(entry);
      if (verdict.success) verdicts.push(verdict.data);
      address = servingLine.safeParse(entry).data?.address ?? address;
    });
  }

  async function until<Found>(
    what: string,
    timeoutMs: number,
    find: () => Promise<Found | undefined>,
  ): Promise<Found> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const found = await find();
      if (found !== undefined) return found;
      if (child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`${what} (exit code ${child.exitCode}) after:\n${lines.slice(-15).join('\n')}`);
      }
      await sleep(10);
    }
  }

  async function get(path: string, servesWithinMs = 60_000): Promise<{ status: number; body: string }> {
    const host = await until('the agent does not serve', servesWithinMs, async () => address);
    try {
      const response = await fetch(`http://${host}${path}`);
      return { status: response.status, body: await response.text() };
    } catch (cause) {
      const state = `exit code ${child.exitCode}, signal ${child.signalCode}`;
      throw new Error(`${path} (${state}) after:\n${lines.slice(-15).join('\n')}`, { cause });
    }
  }

  return {
    pid: child.pid ?? -1,
    log: () => lines.join('\n'),
    verdicts: () => verdicts,
    verdictOf: (containerId, timeoutMs = 20_000) =>
      until(`no verdict on ${containerId}`, timeoutMs, async () =>
        verdicts.find((verdict) => verdict.containerId === containerId),
      ),
    verdictOfPod: ({ namespace, name }, timeoutMs = 20_000) =>
      until(`no verdict on pod ${namespace}/${name}`, timeoutMs, async () =>
        verdicts.find((verdict) => verdict.namespace === namespace && verdict.pod === name),
      ),
    get,
    async ready(timeoutMs = 60_000) {
      let last = '';
      await until('the agent is not ready', timeoutMs, async () => {
        const { status, body } = await get('/readyz', timeoutMs);
        last = body;
        return status === 200 ? true : undefined;
      }).catch((error: unknown) => {
        throw new Error(`${error instanceof Error ? error.message : error}\n${last}`);
      });
    },
    async stop() {
      child.kill('SIGTERM');
      return exited;
    },
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
    exited,
  };
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
