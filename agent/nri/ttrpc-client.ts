import { NriError } from '../errors.ts';
import { decodeResponse, encodeRequest } from './ttrpc-envelope.ts';
import { createMessageReader, encodeMessage, REQUEST, RESPONSE, type TtrpcMessage } from './ttrpc-message.ts';

const NANOS_PER_MS = 1_000_000;
/** The largest odd uint32; a connection with that many calls behind it has to be made anew. */
const LAST_STREAM_ID = 2 ** 32 - 1;

export type TtrpcClient = {
  /**
   * One unary call; the answer's payload is a copy. The timeout (ms) goes to the server and is kept here too.
   * @throws TtrpcStatus when the server answers with an error
   * @throws NriError `deadline`, `malformed`, or why the connection ended
   */
  call(service: string, method: string, payload: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
  /** @throws NriError `messageTooLarge`, `unexpectedMessage`, `streamId`: the connection is over. */
  receive(bytes: Uint8Array): void;
  /** The connection ended. @throws NriError `truncated` */
  end(): void;
  /** Fails every call that is not answered yet, and every later one. */
  close(error: NriError): void;
};

type Waiting = {
  readonly resolve: (payload: Uint8Array) => void;
  readonly reject: (error: unknown) => void;
  readonly timer: NodeJS.Timeout;
};

/** The calling side of one ttrpc connection; unary calls only. */
export function createTtrpcClient(write: (bytes: Uint8Array) => void): TtrpcClient {
  const waiting = new Map<number, Waiting>();
  let nextStreamId = 1;
  let ended: NriError | undefined;
  const reader = createMessageReader(onMessage);

  function onMessage({ streamId, type, data }: TtrpcMessage): void {
    if (type > 3) return;
    if (type !== RESPONSE) {
      throw new NriError('unexpectedMessage', `a message of type ${type} to a client of unary calls`);
    }
    if (streamId % 2 !== 1 || streamId >= nextStreamId) {
      throw new NriError('streamId', `an answer to call ${streamId}, which was never made`);
    }
    const call = waiting.get(streamId);
    // Answered, or given up before the answer came.
    if (call === undefined) return;
    waiting.delete(streamId);
    clearTimeout(call.timer);
    try {
      call.resolve(decodeResponse(data).slice());
    } catch (error) {
      call.reject(error);
    }
  }

  return {
    call(service, method, payload, timeoutMs) {
      return new Promise((resolve, reject) => {
        if (ended !== undefined) throw ended;
        const streamId = nextStreamId;
        if (streamId > LAST_STREAM_ID) throw new NriError('streamId', 'no stream id is left');
        const timeoutNano = Math.round(timeoutMs * NANOS_PER_MS);
        const data = encodeRequest({ service, method, payload, timeoutNano });
        const bytes = encodeMessage({ streamId, type: REQUEST, flags: 0, data });
        nextStreamId += 2;
        const timer = setTimeout(() => {
          waiting.delete(streamId);
          reject(new NriError('deadline', `${method} was not answered within ${timeoutMs} ms`));
        }, timeoutMs);
        waiting.set(streamId, { resolve, reject, timer });
        write(bytes);
      });
    },
    receive: (bytes) => reader.receive(bytes),
    end: () => reader.end(),
    close(error) {
      ended ??= error;
      for (const { reject, timer } of waiting.values()) {
        clearTimeout(timer);
        reject(error);
      }
      waiting.clear();
    },
  };
}
