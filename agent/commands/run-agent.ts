import type { Config } from '../config/resolve.ts';
import { createLog } from '../telemetry/log.ts';
import { startAgent } from '../wiring/start-agent.ts';

/**
 * `agent`: runs until SIGTERM or SIGINT; a second one ends it at once. `warnings` are of the configuration.
 *
 * @throws what startAgent throws
 */
export async function runAgent(config: Config, warnings: readonly string[]): Promise<number> {
  const log = await createLog({ level: config.logLevel, format: config.logFormat });
  for (const warning of warnings) log.warn(warning);
  const signal = new Promise<NodeJS.Signals>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, resolve);
  });
  const agent = await startAgent(config, log);
  log.info({ signal: await signal }, 'stopping');
  await agent.stop();
  return 0;
}
