import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import {
  createRegistryClient,
  type ManifestQuestion,
  type RegistryClient,
  type RegistryClientOptions,
} from '../../agent/registry/client.ts';
import { createEndpoints } from '../../agent/registry/endpoint/endpoints.ts';
import type { RegistryLimits } from '../../agent/registry/limits.ts';
import { loginOf, type RegistryLogin } from '../../agent/registry/login.ts';

/** A request that a fake heard. */
export type Heard = {
  method: string;
  path: string;
  authorization: string | undefined;
  headers: IncomingMessage['headers'];
};

/** A server that plays a registry, a token server or an object store, in this process. */
export type Fake = { host: string; heard: Heard[] };

/** Short enough for tests of what never ends, long enough for a busy machine. */
export const shortLimits: Partial<RegistryLimits> = {
  connectMs: 2_000,
  headersMs: 400,
  idleMs: 400,
  manifestMs: 1_500,
  blobMs: 1_500,
};

async function listen(server: Server, address: string): Promise<string> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, address);
  await once(server, 'listening');
  onTestFinished(async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  });
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Plain HTTP, or HTTPS with what `tls` says. */
export async function fake(
  listener: RequestListener,
  { tls, address = '127.0.0.1' }: { tls?: ServerOptions; address?: string } = {},
): Promise<Fake> {
  const heard: Heard[] = [];
  const remember: RequestListener = (request, response) => {
    const { method = '', url = '', headers } = request;
    heard.push({ method, path: url, authorization: headers.authorization, headers });
    listener(request, response);
  };
  const server = tls === undefined ? createServer(remember) : createTlsServer(tls, remember);
  server.on('tlsClientError', () => {});
  return { host: await listen(server, address), heard };
}

/** Accepts connections and does this with them; nothing speaks HTTP unless it does. */
export function fakeTcp(onConnection: (socket: Socket) => void, address = '127.0.0.1'): Promise<string> {
  return listen(createTcpServer(onConnection), address);
}

/** A folder that is gone after the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'pullwarden-registry-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes a hosts.toml for each host, as a node has them. */
export async function hostsFolder(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await temporaryFolder();
  for (const [host, text] of Object.entries(files)) {
    await mkdir(join(folder, host), { recursive: true });
    await writeFile(join(folder, host, 'hosts.toml'), text);
  }
  return folder;
}

/** A client for a node with these hosts.toml, closed after the test. */
export async function clientFor(
  files: Readonly<Record<string, string>>,
  {
    authoritativeMirrors = [],
    ...options
  }: Partial<RegistryClientOptions> & { authoritativeMirrors?: string[] } = {},
): Promise<RegistryClient> {
  const folders = [await hostsFolder(files)];
  const client = createRegistryClient({
    endpoints: createEndpoints({ runtime: 'containerd', folders, authoritativeMirrors }),
    environment: {},
    ...options,
  });
  onTestFinished(() => client.close());
  return client;
}

/** The configuration that lets a host be asked over plain HTTP. */
export function plainHttp(host: string): Record<string, string> {
  return { [host]: `server = "http://${host}"\n` };
}

export function digestOf(bytes: Buffer | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

const empty = 'application/vnd.oci.empty.v1+json';

/** A small image's manifest. */
export const manifest = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: empty, digest: digestOf('{}'), size: 2 },
    layers: [],
  }),
);
export const manifestDigest = digestOf(manifest);

export const login = (): RegistryLogin => {
  const made = loginOf({ username: 'alice', password: 'correct horse' }, 'key of alice');
  if (made === undefined) throw new Error('no login');
  return made;
};
export const basicOfAlice = `Basic ${Buffer.from('alice:correct horse').toString('base64')}`;

export function byDigest(host: string, more: Partial<ManifestQuestion> = {}): ManifestQuestion {
  return { registry: host, repository: 'team/app', reference: manifestDigest, ...more };
}

export function byTag(host: string, more: Partial<ManifestQuestion> = {}): ManifestQuestion {
  return { registry: host, repository: 'team/app', reference: 'v1', ...more };
}

/** Answers with the manifest, whatever is asked for. */
export const grants: RequestListener = (_, response) => {
  response.writeHead(200, { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }).end(manifest);
};

/** An error as registries tell it. */
export function refuses(
  status: number,
  code: string,
  headers: Record<string, string | string[]> = {},
): RequestListener {
  return (_, response) => {
    const body = JSON.stringify({ errors: [{ code, message: 'what a server writes' }] });
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body);
  };
}

/** A status with a body of another kind. */
export function says(
  status: number,
  body: string,
  headers: Record<string, string | string[]> = {},
): RequestListener {
  return (_, response) => {
    response.writeHead(status, headers).end(body);
  };
}

export const page = '<!doctype html><title>Sign in</title>';

/** Grants to who sends this header, else sends a challenge. */
export function wants(authorization: string, challenge: string | string[]): RequestListener {
  return (request, response) => {
    const isRight = request.headers.authorization === authorization;
    const next = isRight ? grants : refuses(401, 'UNAUTHORIZED', { 'www-authenticate': challenge });
    next(request, response);
  };
}

export function redirects(status: number, location: string): RequestListener {
  return (_, response: ServerResponse) => {
    response.writeHead(status, { location }).end();
  };
}

/** What the client says where nobody's word counts. */
export function unavailable(seen: string, more: object = {}): object {
  return { answer: 'unavailable', seen, ...more };
}
