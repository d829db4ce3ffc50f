import { CommanderError } from 'commander';
import { printable } from '../printable.ts';
import { EXIT } from './exit-code.ts';

/** What a process that ends with an error says and returns. */
export type Failure = { readonly text: string; readonly exitCode: number };

/**
 * Errors with a closed list of reasons, by their names: to know them by their classes would load all of the
 * agent.
 */
const EXPECTED: ReadonlySet<string> = new Set([
  'CommandError',
  'ConfigError',
  'EndpointError',
  'ListenError',
  'PodSourceError',
  'RecordStoreError',
  'RuntimeError',
]);

/** What a file system says that is no defect of ours, in the words of our own reasons. */
const FILE_SYSTEM: ReadonlyMap<string, string> = new Map([
  ['EACCES', 'permissionDenied'],
  ['EPERM', 'permissionDenied'],
  ['ENOENT', 'fileNotFound'],
  ['ENOTDIR', 'fileNotFound'],
  ['EROFS', 'readOnly'],
  ['ENOSPC', 'diskFull'],
]);

/**
 * One line for an error that ends a subcommand. Exit code 2: usage, configuration or surroundings are not as
 * they must be; 1: something is not there, or a defect, whose stack is shown only when `debug` asks for it.
 */
export function describeFailure(error: unknown, debug: boolean): Failure {
  // Commander has written its message already.
  if (error instanceof CommanderError) {
    return { text: '', exitCode: error.exitCode === 0 ? EXIT.ok : EXIT.unusable };
  }
  if (!(error instanceof Error))
    return { text: lineOf('internalError', String(error)), exitCode: EXIT.failed };
  const reason = 'reason' in error && typeof error.reason === 'string' ? error.reason : undefined;
  if (reason !== undefined && EXPECTED.has(error.name)) {
    const isNotThere = reason === 'notFound' && error.name === 'CommandError';
    return { text: lineOf(reason, error.message), exitCode: isNotThere ? EXIT.failed : EXIT.unusable };
  }
  const ofFile = fileSystemReason(error);
  if (ofFile !== undefined) return { text: lineOf(ofFile, error.message), exitCode: EXIT.unusable };
  const stack = debug ? `${error.stack ?? ''}\n` : '';
  return { text: `${lineOf('internalError', error.message)}${stack}`, exitCode: EXIT.failed };
}

/** Commander's `error: …`, with a suggestion perhaps, on one line in the form of all other errors. */
export function usageLine(text: string): string {
  const words = text
    .trim()
    .replace(/^error: /, '')
    .replaceAll('\n', ' ');
  return `pullwarden: usage: ${printable(words)}\n`;
}

function lineOf(reason: string, message: string): string {
  return `pullwarden: ${reason}: ${printable(message)}\n`;
}

/** Node names the system call, and with a path it was about a file. */
function fileSystemReason(error: Error): string | undefined {
  if (!('code' in error && 'syscall' in error && 'path' in error)) return undefined;
  return typeof error.code === 'string' ? FILE_SYSTEM.get(error.code) : undefined;
}
