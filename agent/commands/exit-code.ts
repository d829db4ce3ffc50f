/** What every subcommand returns; the table in docs/cli.md. */
export const EXIT = {
  ok: 0,
  /** What was asked for is not there, doctor found a failure, or a defect of Pullwarden. */
  failed: 1,
  /** Usage, configuration or surroundings are not as they must be. */
  unusable: 2,
  /** A container would be denied. */
  denied: 3,
  /** No answer is known, or not from everybody who was asked. */
  unknown: 4,
} as const;
