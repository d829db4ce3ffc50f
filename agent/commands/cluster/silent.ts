import { printable } from '../../printable.ts';
import { EXIT } from '../exit-code.ts';
import type { Print } from '../output.ts';
import type { Answer } from './agents.ts';

/** Names the agents that said nothing, and returns the exit code that says whether there were any. */
export function warnOfSilent(answers: readonly Answer<unknown>[], warn: Print): number {
  const silent = answers.filter(({ problem }) => problem !== undefined);
  for (const { agent, problem } of silent) {
    warn(`${printable(`no answer from ${agent.node || 'no node'} (${agent.pod}): ${problem}`)}\n`);
  }
  return silent.length > 0 ? EXIT.unknown : EXIT.ok;
}
