import type { Config } from '../config/resolve.ts';
import { createLog } from '../telemetry/log.ts';
import { startAgent } from '../wiring/start-agent.ts';

/** `agent`: runs until SIGTERM or SIGINT; a second one ends it at once. Throws as startAgent does. */
export async function runAgent(config: Config): Promise<number> {
  const log = await createLog({ level: config.logLevel, format: config.logFormat });
  const signal = new Promise<NodeJS.Signals>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, resolve);
  });
  const agent = await startAgent(config, log);
  log.info({ signal: await signal }, 'stopping');
  await agent.stop();
  return 0;
}
