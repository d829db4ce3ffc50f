import { type KubectlResult, lastLine } from '../kubectl.ts';
import { CONTAINER, type Exec, type ExecTarget, MAX_ANSWER_BYTES, PROGRAM } from './exec.ts';
import type { KubectlProxy } from './proxy.ts';
import { type ExecEnd, execOverWebSocket } from './websocket.ts';

/** So often it may not open at all before it is clear that this is no way here. */
const GIVE_UP_AFTER = 3;
const MAX_STDERR_BYTES = 64 * 1024;

/**
 * Exec over WebSocket through one `kubectl proxy`. Whoever cannot be asked in this way is asked once more by
 * `kubectl exec`, which knows other ways (SPDY, proxies of a company) and says best what is the matter.
 */
export function createProxiedExec(
  proxy: KubectlProxy,
  byProcess: Exec,
  { namespace, timeoutMs }: ExecTarget,
): Exec {
  let hasOpened = false;
  let notOpened = 0;
  const isNoWay = (): boolean => !hasOpened && notOpened >= GIVE_UP_AFTER;
  const note = ({ is }: ExecEnd): void => {
    if (is === 'notOpened') notOpened += 1;
    else if (is !== 'aborted') hasOpened = true;
  };
  const pathOf = (pod: string, words: readonly string[], stdin: boolean): string => {
    const query = new URLSearchParams({ container: CONTAINER, stdout: 'true', stderr: 'true' });
    if (stdin) query.set('stdin', 'true');
    for (const word of [PROGRAM, ...words]) query.append('command', word);
    return `/api/v1/namespaces/${namespace}/pods/${encodeURIComponent(pod)}/exec?${query}`;
  };

  return {
    async run(pod, words) {
      if (isNoWay()) return byProcess.run(pod, words);
      const collected = collect();
      const end = await execOverWebSocket({
        socketPath: proxy.socketPath,
        path: pathOf(pod, words, false),
        onStdout: collected.onStdout,
        onStderr: collected.onStderr,
        signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), collected.full]),
      });
      note(end);
      if (end.is === 'exited') return { exitCode: end.exitCode, ...collected.text() };
      if (end.is !== 'aborted') return byProcess.run(pod, words);
      const stopped = collected.full.aborted ? 'large' : 'late';
      return { exitCode: undefined, stopped, stdout: '', stderr: '' };
    },

    async follow(pod, words, onStdout, signal) {
      if (isNoWay()) return byProcess.follow(pod, words, onStdout, signal);
      const decoder = new TextDecoder();
      const stderr = collect();
      const end = await execOverWebSocket({
        socketPath: proxy.socketPath,
        path: pathOf(pod, words, true),
        onStdout: (part) => onStdout(decoder.decode(part, { stream: true })),
        onStderr: stderr.onStderr,
        signal,
      });
      note(end);
      switch (end.is) {
        case 'notOpened':
          return byProcess.follow(pod, words, onStdout, signal);
        case 'exited':
          return lastLine(stderr.text().stderr) || `it ended with ${end.exitCode}`;
        case 'failed':
          return end.message;
        default:
          return 'the connection broke off';
      }
    },

    close: () => proxy.stop(),
  };
}

type Collected = {
  readonly onStdout: (part: Buffer) => void;
  readonly onStderr: (part: Buffer) => void;
  /** Aborted once there is more than may be kept. */
  readonly full: AbortSignal;
  text(): Pick<KubectlResult, 'stdout' | 'stderr'>;
};

function collect(): Collected {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  const full = new AbortController();
  let stdoutBytes = 0;
  let stderrBytes = 0;
  return {
    onStdout(part) {
      stdoutBytes += part.length;
      if (stdoutBytes > MAX_ANSWER_BYTES) full.abort();
      else stdout.push(part);
    },
    onStderr(part) {
      stderrBytes += part.length;
      if (stderrBytes <= MAX_STDERR_BYTES) stderr.push(part);
    },
    full: full.signal,
    text: () => ({
      stdout: Buffer.concat(stdout).toString('utf8'),
      stderr: Buffer.concat(stderr).toString('utf8'),
    }),
  };
}
