import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export type PlainPlugin = { stop(): Promise<void> };

/**
 * What a plugin of a few lines says without looking. `allow`: yes to everybody. `refuse`: no to the abuser's
 * namespace; nobody else is asked about.
 */
export type PlainAnswer = 'allow' | 'refuse';

export const REFUSED_NAMESPACE = 'abuser';

/** A process of Node's that is connected to NRI and answers without looking: what then is slow is not the agent. */
export async function startPlainPlugin(nriSocket: string, answer: PlainAnswer): Promise<PlainPlugin> {
  const program = fileURLToPath(new URL('./plain-plugin-process.ts', import.meta.url));
  const child = spawn(process.execPath, [program, nriSocket, answer], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  await Promise.race([
    once(child.stdout, 'data'),
    exited.then(() => {
      throw new Error('the plain plugin has ended');
    }),
  ]);
  return {
    async stop() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
