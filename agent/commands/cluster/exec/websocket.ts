import { connect } from 'node:net';
import WebSocket from 'ws';
import { z } from 'zod';

/** How a program that runs in a pod is reached over WebSocket (KEP-4006; the exec subresource of a pod). */
export type ExecRequest = {
  /** Of `kubectl proxy`. */
  readonly socketPath: string;
  /** `/api/v1/namespaces/…/pods/…/exec?command=…` */
  readonly path: string;
  readonly onStdout: (part: Buffer) => void;
  readonly onStderr: (part: Buffer) => void;
  readonly signal: AbortSignal;
};

export type ExecEnd =
  | { readonly is: 'exited'; readonly exitCode: number }
  /** The program did not run, or the API server or kubelet lost it: in their words. */
  | { readonly is: 'failed'; readonly message: string }
  /** No WebSocket: refused, or not understood by somebody on the way. */
  | { readonly is: 'notOpened' }
  | { readonly is: 'brokenOff' }
  | { readonly is: 'aborted' };

/** The first byte of each message. */
const CHANNEL = { stdout: 1, stderr: 2, error: 3 } as const;
/** `v4` for API servers before 1.30, which hand on what kubelet speaks. */
const PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];
const HANDSHAKE_MS = 10_000;
/** Load balancers end connections on which nothing moves; the shortest that are in use wait for a minute. */
const PING_EVERY_MS = 20_000;
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

const status = z.object({
  status: z.string().optional(),
  message: z.string().optional(),
  reason: z.string().optional(),
  details: z
    .object({ causes: z.array(z.object({ reason: z.string(), message: z.string() })).optional() })
    .optional(),
});

/** Never rejects. */
export function execOverWebSocket(request: ExecRequest): Promise<ExecEnd> {
  const { socketPath, path, onStdout, onStderr, signal } = request;
  if (signal.aborted) return Promise.resolve({ is: 'aborted' });
  // By this name kubectl proxy knows that no page in a browser asks.
  const stream = new WebSocket(`ws://localhost${path}`, PROTOCOLS, {
    createConnection: () => connect(socketPath),
    handshakeTimeout: HANDSHAKE_MS,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
  });
  stream.binaryType = 'nodebuffer';
  return new Promise((resolve) => {
    let opened = false;
    let end: ExecEnd | undefined;
    const pings = setInterval(() => {
      if (opened) stream.ping();
    }, PING_EVERY_MS);
    const settle = (last: ExecEnd): void => {
      clearInterval(pings);
      signal.removeEventListener('abort', abort);
      resolve(end ?? last);
      stream.terminate();
    };
    const abort = (): void => settle({ is: 'aborted' });
    signal.addEventListener('abort', abort, { once: true });
    stream.on('open', () => {
      opened = true;
    });
    stream.on('message', (data: Buffer) => {
      const part = data.subarray(1);
      if (data[0] === CHANNEL.stdout) onStdout(part);
      else if (data[0] === CHANNEL.stderr) onStderr(part);
      else if (data[0] === CHANNEL.error && part.length > 0) end = endOf(part.toString('utf8'));
    });
    // After an error comes the close; where it does not open, both say the same.
    stream.on('error', () => settle({ is: opened ? 'brokenOff' : 'notOpened' }));
    stream.on('close', () => settle({ is: opened ? 'brokenOff' : 'notOpened' }));
  });
}

/** A `v1.Status`; the exit code stands among its causes (k8s.io/apimachinery, remotecommand). */
function endOf(text: string): ExecEnd {
  try {
    const { status: word, message, reason, details } = status.parse(JSON.parse(text));
    if (word === 'Success') return { is: 'exited', exitCode: 0 };
    const code = details?.causes?.find((cause) => cause.reason === 'ExitCode')?.message;
    if (reason === 'NonZeroExitCode' && code !== undefined && /^\d{1,3}$/.test(code)) {
      return { is: 'exited', exitCode: Number(code) };
    }
    return { is: 'failed', message: message ?? reason ?? 'unknown' };
  } catch {
    return { is: 'failed', message: text };
  }
}
