import { availableParallelism } from 'node:os';
import PQueue from 'p-queue';
import { lastLine } from '../kubectl.ts';
import { CONTAINER, type Exec, type ExecTarget, MAX_ANSWER_BYTES, PROGRAM } from './exec.ts';

/** Each has work for a core when it starts, and then waits for the node. */
const PROCESSES_PER_CORE = 4;

/** One `kubectl exec` for each call. Works with whatever kubectl works with. */
export function createProcessExec({ kubectl, namespace }: ExecTarget): Exec {
  const queue = new PQueue({ concurrency: PROCESSES_PER_CORE * availableParallelism() });
  const target = (pod: string): string[] => ['--namespace', namespace, pod, '--container', CONTAINER, '--'];
  return {
    run: (pod, words) =>
      queue.add(() =>
        kubectl.run(['exec', ...target(pod), PROGRAM, ...words], { maxBytes: MAX_ANSWER_BYTES }),
      ),
    async follow(pod, words, onStdout, signal) {
      const child = kubectl.start(['exec', '--stdin', ...target(pod), PROGRAM, ...words]);
      const end = () => void child.kill('SIGTERM');
      signal.addEventListener('abort', end, { once: true });
      if (signal.aborted) end();
      let stderr = '';
      child.stdin?.on('error', () => undefined);
      child.stdout?.setEncoding('utf8').on('data', onStdout);
      child.stderr?.setEncoding('utf8').on('data', (part: string) => {
        stderr = `${stderr}${part}`.slice(-4_096);
      });
      try {
        return await new Promise<string>((resolve) => {
          child.once('error', ({ message }) => resolve(message));
          child.once('close', (exitCode) => resolve(lastLine(stderr) || `kubectl ended with ${exitCode}`));
        });
      } finally {
        signal.removeEventListener('abort', end);
      }
    },
    close: async () => undefined,
  };
}
