/** Anything the lab itself can say went wrong; the message is meant for a person. */
export class LabError extends Error {
  override readonly name: string = 'LabError';
}

/** A program that the lab needs cannot be had on this machine; tests skip aloud with the reason. */
export class PackageUnavailable extends LabError {
  override readonly name = 'PackageUnavailable';
  readonly package: string;
  readonly reason: string;

  constructor(packageName: string, reason: string, options?: ErrorOptions) {
    super(`${packageName}: ${reason}`, options);
    this.package = packageName;
    this.reason = reason;
  }
}

/** A command ended with another exit code than 0, or could not be started (exitCode null). */
export class CommandFailed extends LabError {
  override readonly name = 'CommandFailed';
  readonly exitCode: number | null;
  readonly output: string;

  constructor(command: string, exitCode: number | null, output: string, options?: ErrorOptions) {
    super(`${command}: exit code ${exitCode ?? 'none'}: ${output.trim().slice(-2000)}`, options);
    this.exitCode = exitCode;
    this.output = output;
  }
}

/** True if `error` is a system error with one of these codes (`ENOENT`, `EBUSY`, …). */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return (
    error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code)
  );
}
