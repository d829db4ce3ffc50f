import { type Bytes, decode, encode, type Int64, messageType, toBytes, toNumber } from './proto.ts';

/** The codes of google.rpc.Status that the client makes or looks at (google/rpc/code.proto). */
export const code = {
  ok: 0,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
} as const;

/**
 * A call that was answered with an error. The message is the other side's, or ours to it; it may be shown.
 */
export class TtrpcStatus extends Error {
  override readonly name = 'TtrpcStatus';
  readonly code: number;

  constructor(statusCode: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = statusCode;
  }
}

const requestType = messageType('ttrpc.Request');
const responseType = messageType('ttrpc.Response');

type RequestFields = {
  readonly service: string;
  readonly method: string;
  readonly payload: Bytes;
  readonly timeoutNano: Int64;
};
type ResponseFields = {
  readonly status: { readonly code: number; readonly message: string } | null;
  readonly payload: Bytes;
};
export type TtrpcRequest = {
  readonly service: string;
  readonly method: string;
  readonly payload: Uint8Array;
  readonly timeoutNano: number;
};

/** @throws NriError `malformed` */
export function decodeRequest(data: Uint8Array): TtrpcRequest {
  const { service, method, payload, timeoutNano } = decode<RequestFields>(requestType, data);
  return { service, method, payload: toBytes(payload), timeoutNano: toNumber(timeoutNano) };
}

/** `timeoutNano` 0 means none. */
export function encodeRequest(request: TtrpcRequest): Uint8Array {
  return encode(requestType, { ...request });
}

/**
 * The payload of an answer.
 * @throws NriError `malformed`
 * @throws TtrpcStatus when it is an error's
 */
export function decodeResponse(data: Uint8Array): Uint8Array {
  const { status, payload } = decode<ResponseFields>(responseType, data);
  if (status !== null && status.code !== code.ok) throw new TtrpcStatus(status.code, status.message);
  return toBytes(payload);
}

export function encodeResponse(payload: Uint8Array): Uint8Array {
  return encode(responseType, { payload });
}

export function encodeError({ code: statusCode, message }: TtrpcStatus): Uint8Array {
  return encode(responseType, { status: { code: statusCode, message } });
}
