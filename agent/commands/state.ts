import { statSync } from 'node:fs';
import { join } from 'node:path';
import { CommandError } from '../errors.ts';

/**
 * Says in plain words that there is nothing to look at yet.
 *
 * @throws CommandError `noAgentYet` when this file of the state directory does not exist; what the file
 *   system says when the directory may not be looked into.
 */
export function requireState(stateDir: string, file: 'records.db' | 'decisions.db'): void {
  if (statSync(join(stateDir, file), { throwIfNoEntry: false }) !== undefined) return;
  throw new CommandError('noAgentYet', `no agent has run here: ${stateDir} has no ${file} (see --state-dir)`);
}
