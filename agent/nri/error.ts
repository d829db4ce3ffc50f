/**
 * Why a connection to the runtime's NRI socket ended, or never came to be.
 *
 * `unreachable`: nobody listens at the socket. `closed`: the runtime ended the connection. `shutdown`: it did after
 * saying so. `socket`: the socket failed. `registrationRefused`, `registrationTimeout`: the runtime does not take the
 * plugin, or did not get as far as Synchronize in time. `deadline`: a call of ours was not answered in time.
 * `frameTooLarge`, `messageTooLarge`: beyond what the protocol allows. `unknownConnection`, `unexpectedMessage`,
 * `streamId`: what no correct peer sends. `truncated`: the end came within a frame or message. `malformed`: bytes
 * that are no such protobuf message. `tooManyRequests`, `writeBacklog`: the runtime asks without reading the answers.
 * `tooMuchState`: Synchronize told of more than a node can hold. `podsUnknown`, `podsTerminating`: not tried yet,
 * because it would hold up the node's containers, or may (when-to-register.ts). `internal`: an error of the agent's own.
 */
export type NriFailure =
  | 'unreachable'
  | 'closed'
  | 'shutdown'
  | 'socket'
  | 'registrationRefused'
  | 'registrationTimeout'
  | 'deadline'
  | 'frameTooLarge'
  | 'messageTooLarge'
  | 'unknownConnection'
  | 'unexpectedMessage'
  | 'streamId'
  | 'truncated'
  | 'malformed'
  | 'tooManyRequests'
  | 'writeBacklog'
  | 'tooMuchState'
  | 'podsUnknown'
  | 'podsTerminating'
  | 'internal';

/** Ends a connection to the runtime. The message carries numbers only, nothing that the runtime sent. */
export class NriError extends Error {
  override readonly name = 'NriError';
  readonly reason: NriFailure;

  constructor(reason: NriFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** An error of any kind as one of ours: what is not yet an NriError can only be a mistake of the agent's. */
export function asNriError(error: unknown): NriError {
  return error instanceof NriError
    ? error
    : new NriError('internal', 'the NRI client failed', { cause: error });
}
