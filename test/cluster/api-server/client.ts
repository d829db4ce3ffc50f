import type { IncomingMessage } from 'node:http';
import { type RequestOptions, request } from 'node:https';
import { text } from 'node:stream/consumers';

export type RawAnswer = {
  readonly code: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
};

/** One request to a test API server, without any of the agent's code. */
export function askRaw(
  url: string,
  options: RequestOptions & { readonly body?: string; readonly untilBytes?: number } = {},
): Promise<RawAnswer> {
  const { body, untilBytes, ...rest } = options;
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { agent: false, ...rest }, (response) => {
      const { statusCode: code = 0, headers } = response;
      const reading = untilBytes === undefined ? text(response) : readSome(response, untilBytes);
      reading.then((read) => resolve({ code, headers, body: read }), reject);
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** What a stream that does not end says first. */
async function readSome(response: IncomingMessage, bytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) {
    chunks.push(Buffer.from(chunk));
    if (Buffer.concat(chunks).length >= bytes) break;
  }
  return Buffer.concat(chunks).toString('utf8');
}
