import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { type KeyPair, signToken } from './signing.ts';

/** Which repositories each user may pull: prefixes such as `team-a/`, or whole names. `''` means all. */
export type Grants = Record<string, string[]>;

/** One request to the token server. */
export interface TokenRequest {
  time: Date;
  method: string;
  /** Empty for an anonymous request. */
  user: string;
  scopes: string[];
  status: number;
  userAgent: string;
}

/** How the server treats those who may not pull what they ask for; real registries differ in this. */
export interface TokenPolicy {
  /** `emptyToken`: a token without access, as Docker Hub; `refuse`: 401. */
  anonymous: 'emptyToken' | 'refuse';
  /** For known users: `emptyToken` as Docker Hub, `forbidden`: 403 from the token server, as GitLab. */
  withoutRight: 'emptyToken' | 'forbidden';
}

/** A server for Docker's token protocol, in this process. */
export interface TokenServer {
  realm: string;
  /** Passwords by user, read at each request. */
  users: Record<string, string>;
  /** Read at each request. */
  grants: Grants;
  policy: TokenPolicy;
  requests: TokenRequest[];
  /** A token for the lab's own pushes. */
  pushToken(repository: string): string;
  close(): Promise<void>;
}

interface Access {
  type: string;
  name: string;
  actions: string[];
}

const issuer = 'pullwarden-lab';

function basicUser(header: string | undefined): [string, string] | undefined {
  const encoded = /^Basic (\S+)$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const plain = Buffer.from(encoded, 'base64').toString();
  const colon = plain.indexOf(':');
  return [plain.slice(0, colon), plain.slice(colon + 1)];
}

interface Question {
  credentials: [string, string] | undefined;
  scopes: string[];
}

async function readQuestion(request: IncomingMessage): Promise<Question> {
  const url = new URL(request.url ?? '/', 'http://localhost');
  if (request.method !== 'POST') {
    return {
      credentials: basicUser(request.headers.authorization),
      scopes: url.searchParams.getAll('scope'),
    };
  }
  const form = new URLSearchParams(await text(request));
  const scopes = form.getAll('scope').flatMap((scope) => scope.split(' '));
  const user = form.get('username');
  return { credentials: user === null ? undefined : [user, form.get('password') ?? ''], scopes };
}

/**
 * Starts the token server on a free loopback port.
 * @param service the `service` that the registry is configured with (its audience).
 */
export async function startTokenServer(service: string, pair: KeyPair): Promise<TokenServer> {
  const token = (subject: string, access: Access[]): string => {
    const now = Math.floor(Date.now() / 1000);
    const times = { iat: now, nbf: now - 10, exp: now + 300 };
    return signToken(pair, { iss: issuer, sub: subject, aud: service, ...times, jti: randomUUID(), access });
  };
  const allowed = (user: string, scope: string): Access[] => {
    const [type = '', name = '', actions = ''] = scope.split(':');
    const prefixes = user === '' ? [] : (state.grants[user] ?? []);
    const granted = prefixes.some(
      (prefix) => name === prefix || (name.startsWith(prefix) && /^$|\/$/.test(prefix)),
    );
    return type === 'repository' && granted && actions.split(',').includes('pull')
      ? [{ type, name, actions: ['pull'] }]
      : [];
  };
  const answer = ({ credentials, scopes }: Question): { status: number; body: object } => {
    const [user, password] = credentials ?? ['', ''];
    const unauthorized = { errors: [{ code: 'UNAUTHORIZED', message: 'authentication required' }] };
    if (credentials === undefined && state.policy.anonymous === 'refuse') {
      return { status: 401, body: unauthorized };
    }
    if (credentials !== undefined && state.users[user] !== password)
      return { status: 401, body: unauthorized };
    const access = scopes.flatMap((scope) => allowed(user, scope));
    if (credentials !== undefined && access.length === 0 && state.policy.withoutRight === 'forbidden') {
      const denied = { code: 'DENIED', message: 'requested access to the resource is denied' };
      return { status: 403, body: { errors: [denied] } };
    }
    const signed = token(user, access);
    return {
      status: 200,
      body: { token: signed, access_token: signed, expires_in: 300, issued_at: new Date() },
    };
  };
  const server = createServer(async (request, response) => {
    const question = await readQuestion(request);
    const { status, body } = answer(question);
    const userAgent = request.headers['user-agent'] ?? '';
    const user = question.credentials?.[0] ?? '';
    const method = request.method ?? '';
    state.requests.push({ time: new Date(), method, user, scopes: question.scopes, status, userAgent });
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.unref();
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const state: TokenServer = {
    realm: `http://127.0.0.1:${port}/token`,
    users: {},
    grants: {},
    policy: { anonymous: 'emptyToken', withoutRight: 'emptyToken' },
    requests: [],
    pushToken: (name) => token('lab', [{ type: 'repository', name, actions: ['pull', 'push'] }]),
    async close() {
      server.close();
      server.closeAllConnections();
    },
  };
  return state;
}

/** The registry's `auth` section for a token server. */
export function tokenAuthConfig(realm: string, service: string, pair: KeyPair): object {
  return { token: { realm, service, issuer, rootcertbundle: pair.certificateFile } };
}
