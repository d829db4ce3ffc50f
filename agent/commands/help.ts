import type { Command, Help } from 'commander';

const INDENT = 2;
/** A term longer than this stands on a line of its own, so that its description has room. */
const LONGEST_TERM = 26;

/**
 * Help that fits 80 columns however long the names of flags are. Subcommands that are added later inherit
 * it.
 */
export function readableHelp(command: Command): Command {
  return command.configureHelp({ formatItem });
}

function formatItem(this: void, term: string, termWidth: number, description: string, helper: Help): string {
  const width = helper.helpWidth ?? 80;
  const indent = ' '.repeat(INDENT);
  if (description === '') return `${indent}${term}`;
  if (termWidth <= LONGEST_TERM) {
    const begin = INDENT + termWidth + 2;
    const lines = helper.boxWrap(description, width - begin).split('\n');
    return `${indent}${term.padEnd(termWidth)}  ${lines.join(`\n${' '.repeat(begin)}`)}`;
  }
  const deep = ' '.repeat(6);
  const lines = helper.boxWrap(description, width - deep.length).split('\n');
  return [`${indent}${term}`, ...lines.map((line) => `${deep}${line}`)].join('\n');
}
