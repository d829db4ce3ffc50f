import { type IncomingMessage, type RequestListener, request, type ServerResponse } from 'node:http';
import { type FaultServer, startFaultServer } from '../../scripts/lab/fault-server.ts';
import type { KeyPair } from '../../scripts/lab/signing.ts';

/** Stands before a real registry and lets everything through, until it is told to answer otherwise. */
export type Front = FaultServer & {
  /** Undefined lets everything through again. */
  answer(listener: RequestListener | undefined): void;
};

export async function startFront(target: string, tls?: KeyPair): Promise<Front> {
  const honest = forwardTo(target);
  let answer: RequestListener = honest;
  const server = await startFaultServer((incoming, response) => answer(incoming, response), tls);
  return {
    ...server,
    answer(listener) {
      answer = listener ?? honest;
    },
  };
}

/** What a mirror does that has everything. */
export function forwardTo(target: string): RequestListener {
  const [host = '', port = ''] = target.split(':');
  return (incoming: IncomingMessage, response: ServerResponse) => {
    const { method, url, headers } = incoming;
    const onward = request({ host, port, method, path: url, headers: { ...headers, host: target } });
    onward.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    incoming.pipe(onward);
  };
}

/** A portal, or a login page, in the way. */
export const htmlPage: RequestListener = (_, response) => {
  response
    .writeHead(200, { 'content-type': 'text/html' })
    .end('<!doctype html><title>Sign in</title><p>Sign in');
};

/** Connections end without an answer where the path holds this; the rest is for the other listener. */
export function resetting(part: string, rest: RequestListener): RequestListener {
  return (incoming, response) => {
    if (incoming.url?.includes(part)) incoming.socket.destroy();
    else rest(incoming, response);
  };
}

export function redirectTo(host: string): RequestListener {
  return (incoming, response) => {
    response.writeHead(307, { location: `http://${host}/store${incoming.url}` }).end();
  };
}

/** As S3 answers for what it does not give. */
export const storeRefuses: RequestListener = (_, response) => {
  const body = '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>';
  response.writeHead(403, { 'content-type': 'application/xml' }).end(body);
};

/** Answers whatever is asked for with a manifest of its own. */
export const otherManifest: RequestListener = ({ method }, response) => {
  const body = JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST, config: {}, layers: [] });
  response.writeHead(200, { 'content-type': MANIFEST, 'content-length': body.length });
  response.end(method === 'HEAD' ? undefined : body);
};

const MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';

/** Lets everything through, but answers to GET break off when half of what was announced has come. */
export function breakingOff(target: string): RequestListener {
  const [host = '', port = ''] = target.split(':');
  const honest = forwardTo(target);
  return (incoming, response) => {
    if (incoming.method !== 'GET' || !incoming.url?.includes('/manifests/'))
      return honest(incoming, response);
    const headers = { ...incoming.headers, host: target };
    request({ host, port, path: incoming.url, headers }, (answer) => {
      if (answer.statusCode !== 200) {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
        return;
      }
      response.writeHead(200, answer.headers);
      answer.once('data', (part: Buffer) => {
        response.write(part.subarray(0, part.length / 2), () => response.destroy());
      });
    }).end();
  };
}
