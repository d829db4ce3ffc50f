import { CommanderError } from 'commander';
import { printable } from '../printable.ts';

/** What a process that ends with an error says and returns. */
export type Failure = { readonly text: string; readonly exitCode: number };

/** Errors with a closed list of reasons, by their names: to know them by their classes would load all of the agent. */
const EXPECTED: ReadonlySet<string> = new Set([
  'CommandError',
  'ConfigError',
  'EndpointError',
  'ListenError',
  'PodSourceError',
  'RecordStoreError',
  'RuntimeError',
]);

/**
 * One line for an error that ends a subcommand. Exit code 2: usage, configuration or surroundings are not as they
 * must be; 1: something is not there, or a defect, whose stack is shown only when `debug` asks for it.
 */
export function describeFailure(error: unknown, debug: boolean): Failure {
  // Commander has written its message already.
  if (error instanceof CommanderError) return { text: '', exitCode: error.exitCode === 0 ? 0 : 2 };
  if (!(error instanceof Error))
    return { text: `pullwarden: internalError: ${printable(String(error))}\n`, exitCode: 1 };
  const reason = 'reason' in error && typeof error.reason === 'string' ? error.reason : undefined;
  if (reason !== undefined && EXPECTED.has(error.name)) {
    return {
      text: `pullwarden: ${reason}: ${printable(error.message)}\n`,
      exitCode: reason === 'notFound' && error.name === 'CommandError' ? 1 : 2,
    };
  }
  const stack = debug ? `${error.stack ?? ''}\n` : '';
  return { text: `pullwarden: internalError: ${printable(error.message)}\n${stack}`, exitCode: 1 };
}
