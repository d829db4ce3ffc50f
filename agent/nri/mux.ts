import { NriError } from '../errors.ts';

/** Connection id and payload length, both uint32 big-endian. */
const HEADER_BYTES = 8;
/**
 * One whole ttrpc message (4 MiB of data and its header of 10 bytes): no frame of a correct peer is larger.
 */
const MAX_FRAME_BYTES = 4 * 1024 * 1024 + 10;
/**
 * The runtime's ttrpc reads each logical connection through a buffer of 4096 bytes, and its mux fails a read
 * with ENOMEM when a frame does not fit (containerd/nri, pkg/net/multiplex, conn.Read). Frames of this size
 * always fit.
 */
const WRITE_FRAME_BYTES = 4096;

export type MuxOptions = {
  /** Writes to the socket. */
  readonly write: (bytes: Uint8Array) => void;
  /**
   * Takes what arrives, by connection id. A payload comes in as many pieces as the socket gave; nothing is
   * kept.
   */
  readonly connections: ReadonlyMap<number, (bytes: Uint8Array) => void>;
  /** Default 4096; what is longer is cut into several frames. */
  readonly writeFrameBytes?: number;
};

export type Mux = {
  /** @throws NriError `frameTooLarge`, `unknownConnection`, and whatever a connection throws. */
  receive(bytes: Uint8Array): void;
  /** The socket ended. @throws NriError `truncated` when it did within a frame. */
  end(): void;
  send(connectionId: number, bytes: Uint8Array): void;
};

/**
 * Several logical connections on one socket, as NRI does it (containerd/nri, pkg/net/multiplex). After an
 * error nothing more is taken in, since where the next frame begins is no longer known.
 */
export function createMux(options: MuxOptions): Mux {
  const { write, connections, writeFrameBytes = WRITE_FRAME_BYTES } = options;
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  let headerBytes = 0;
  /** Bytes of the current payload that have not arrived yet. */
  let missing = 0;
  let deliver: (bytes: Uint8Array) => void = () => {};
  let failed = false;

  function readHeader(): void {
    const id = view.getUint32(0);
    const length = view.getUint32(4);
    const connection = connections.get(id);
    if (connection === undefined) throw new NriError('unknownConnection', `frame for connection ${id}`);
    if (length > MAX_FRAME_BYTES) throw new NriError('frameTooLarge', `frame of ${length} bytes`);
    deliver = connection;
    missing = length;
    headerBytes = 0;
  }

  function take(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      if (missing > 0) {
        const end = Math.min(bytes.length, at + missing);
        missing -= end - at;
        deliver(bytes.subarray(at, end));
        at = end;
        continue;
      }
      const end = Math.min(bytes.length, at + HEADER_BYTES - headerBytes);
      header.set(bytes.subarray(at, end), headerBytes);
      headerBytes += end - at;
      at = end;
      if (headerBytes === HEADER_BYTES) readHeader();
    }
  }

  return {
    receive(bytes) {
      if (failed) return;
      try {
        take(bytes);
      } catch (error) {
        failed = true;
        throw error;
      }
    },
    end() {
      if (!failed && (headerBytes > 0 || missing > 0)) {
        throw new NriError('truncated', `the connection ended ${missing} bytes before the end of a frame`);
      }
    },
    send(connectionId, bytes) {
      for (let at = 0; at < bytes.length; at += writeFrameBytes) {
        const payload = bytes.subarray(at, at + writeFrameBytes);
        const frame = Buffer.alloc(HEADER_BYTES + payload.length);
        frame.writeUInt32BE(connectionId, 0);
        frame.writeUInt32BE(payload.length, 4);
        frame.set(payload, HEADER_BYTES);
        write(frame);
      }
    },
  };
}
