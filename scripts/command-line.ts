import { type ParseArgsConfig, parseArgs } from 'node:util';

/**
 * A script's own command line, as node:util reads it. `--help` prints the usage line and ends the process
 * with 0; what the script does not know prints it to standard error and ends it with 2.
 */
export function readCommandLine<const Config extends ParseArgsConfig>(usage: string, config: Config) {
  if (process.argv.includes('--help') || process.argv.includes('-h')) {
    process.stdout.write(`usage: ${usage}\n`);
    process.exit(0);
  }
  try {
    return parseArgs(config);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return endWithUsage(usage);
  }
}

/** A number that is none, a word that is unknown. */
export function endWithUsage(usage: string): never {
  process.stderr.write(`usage: ${usage}\n`);
  process.exit(2);
}

/** @returns the number, where the text is a whole one from `least` up; undefined for anything else. */
export function wholeNumberFrom(least: number, text: string): number | undefined {
  const value = Number(text);
  return text !== '' && Number.isSafeInteger(value) && value >= least ? value : undefined;
}
