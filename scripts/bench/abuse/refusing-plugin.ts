import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export type RefusingPlugin = { stop(): Promise<void> };

/** The abuser's namespace; everybody else is not asked about. */
export const REFUSED_NAMESPACE = 'abuser';

/** A process that is connected to NRI, and refuses without looking: what then is slow is not the agent. */
export async function startRefusingPlugin(nriSocket: string): Promise<RefusingPlugin> {
  const program = fileURLToPath(new URL('./refusing-plugin-process.ts', import.meta.url));
  const child = spawn(process.execPath, [program, nriSocket], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  await Promise.race([
    once(child.stdout, 'data'),
    exited.then(() => {
      throw new Error('the plugin that refuses has ended');
    }),
  ]);
  return {
    async stop() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
