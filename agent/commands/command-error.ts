export type CommandFailure = 'usage' | 'notFound' | 'ambiguous' | 'unwritable';

/** What was asked on the command line cannot be done. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly reason: CommandFailure;

  constructor(reason: CommandFailure, message: string) {
    super(message);
    this.reason = reason;
  }
}
