import { NriError } from '../errors.ts';

/** Any error as an NriError: what is not one yet can only be a defect of the agent. */
export function asNriError(error: unknown): NriError {
  return error instanceof NriError
    ? error
    : new NriError('internal', 'the NRI client failed', { cause: error });
}
