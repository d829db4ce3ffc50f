export type ConfigFailure =
  | 'unknownOption'
  | 'invalidValue'
  | 'missingOption'
  | 'conflict'
  | 'fileUnreadable'
  | 'fileMalformed';

/** The configuration cannot be used. The message is one line: which key, from where, and what is allowed. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly reason: ConfigFailure;

  constructor(reason: ConfigFailure, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.reason = reason;
  }
}
