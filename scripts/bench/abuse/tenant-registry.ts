import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { type FaultServer, startFaultServer } from '../../lab/fault-server.ts';

/** A registry of a tenant's own: it serves what a real one holds until its tenant has it do otherwise. */
export type TenantRegistry = FaultServer & {
  /** What it does from now on; undefined: serve. */
  behave(behaviour: RequestListener | undefined): void;
  /** Serving, but only after so many ms. */
  slowly(ms: number): RequestListener;
  /** So many requests it has had. */
  requests(): number;
};

/** @param target the real one, which asks nobody for a login */
export async function startTenantRegistry(target: string): Promise<TenantRegistry> {
  let behaviour: RequestListener | undefined;
  let requests = 0;
  const forward = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = 'GET', url = '/', headers } = request;
    const accept = headers.accept ?? '*/*';
    const answer = await fetch(`http://${target}${url}`, { method, headers: { accept } });
    const kept = [
      'content-type',
      'docker-content-digest',
      'docker-distribution-api-version',
      'content-length',
    ];
    for (const name of kept) {
      const value = answer.headers.get(name);
      if (value !== null) response.setHeader(name, value);
    }
    response.writeHead(answer.status);
    response.end(method === 'HEAD' ? undefined : Buffer.from(await answer.arrayBuffer()));
  };
  const serve: RequestListener = (request, response) => {
    // The real one may end a kept connection just now: whoever asks sees a connection that broke, and asks
    // again.
    forward(request, response).catch(() => response.destroy());
  };
  const server = await startFaultServer((request, response) => {
    requests += 1;
    response.on('error', () => undefined);
    (behaviour ?? serve)(request, response);
  });
  return {
    ...server,
    behave(next) {
      behaviour = next;
    },
    slowly: (ms) => (request, response) => {
      setTimeout(() => serve(request, response), ms);
    },
    requests: () => requests,
  };
}
