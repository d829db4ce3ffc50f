import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { createSecureContext } from 'node:tls';
import { FileAuth } from '@kubernetes/client-node/dist/file_auth.js';
import { ApiError } from '../errors.ts';
import { errorCode } from './error-code.ts';
import { createExecPlugin, type ExecCredential } from './exec-plugin.ts';
import { type AccessPlaces, type ClusterAccess, loadClusterAccess, tokenFileOf } from './kubeconfig.ts';

/** What one request needs: where to, over which connections, with which headers. Must never be logged. */
export type Connection = {
  readonly server: URL;
  readonly agent: Agent;
  readonly headers: Readonly<Record<string, string>>;
};

export type Identity = {
  /** As the files say now, or said a few seconds ago. Throws ApiError identityUnusable. */
  connection(): Promise<Connection>;
  /** The API server refused what `connection` gave: read it all again, and run the exec plugin again. */
  renew(): void;
  close(): void;
};

export type IdentityOptions = AccessPlaces & {
  /** How long files count as read, and how long an exec plugin that failed is left alone, ms. */
  readonly recheckMs?: number;
  /** How long an exec plugin may take, ms. */
  readonly execTimeoutMs?: number;
};

/** Ends a peer that is gone without a word after about 40 s (Node asks ten times, a second apart); as client-go. */
const TCP_KEEPALIVE_MS = 30_000;
const MAX_SOCKETS = 16;

type Material = {
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | string | undefined;
  readonly key: Buffer | string | undefined;
  readonly servername: string | undefined;
};

type Established = Connection & { readonly fingerprint: string };

/**
 * Who the agent is to the API server. Kubeconfig, CA, client certificate and token are read again every few seconds;
 * where certificates changed, new requests go over new connections and those under way end on the old ones. A file
 * that cannot be read for a moment (it is being replaced) leaves what was there in force.
 */
export function createIdentity(options: IdentityOptions = {}): Identity {
  const { recheckMs = 5_000, execTimeoutMs = 30_000 } = options;
  const plugin = createExecPlugin({ timeoutMs: execTimeoutMs, pauseMs: recheckMs });
  let current: Established | undefined;
  let readAt = Number.NEGATIVE_INFINITY;
  let renewing = false;
  let reading: Promise<Connection> | undefined;

  async function read(): Promise<Connection> {
    try {
      const access = await loadClusterAccess(options);
      const given = access.exec ? await plugin.credential(access.exec) : {};
      const material = await materialOf(access, given);
      current = connectionOf(access, material, await bearerOf(access, given), current);
      readAt = performance.now();
      renewing = false;
      return current;
    } catch (error) {
      if (current && !renewing) return current;
      throw error;
    }
  }

  return {
    async connection() {
      if (current && performance.now() - readAt < recheckMs) return current;
      reading ??= read().finally(() => {
        reading = undefined;
      });
      return reading;
    },
    renew() {
      readAt = Number.NEGATIVE_INFINITY;
      renewing = true;
      plugin.forget();
    },
    close() {
      plugin.close();
      current?.agent.destroy();
    },
  };
}

/** A token in a file goes before one in the kubeconfig, as in client-go. Undefined where there is none. */
async function bearerOf({ user }: ClusterAccess, given: ExecCredential): Promise<string | undefined> {
  const path = tokenFileOf(user);
  if (path === undefined) return user.token || given.token || undefined;
  const request: { headers: Record<string, string> } = { headers: {} };
  // A new one each time: it would keep what it read for a minute of the wall clock.
  await new FileAuth().applyAuthentication(user, request).catch((error: unknown) => {
    throw new ApiError('identityUnusable', `token file ${path}: ${errorCode(error)}`);
  });
  // A file usually ends in a newline, which no header may hold.
  const token = request.headers.Authorization?.replace(/^Bearer /, '').trim();
  if (!token || /[^\x21-\x7e]/.test(token)) {
    throw new ApiError('identityUnusable', `token file ${path}: holds no token`);
  }
  return token;
}

async function materialOf({ cluster, user }: ClusterAccess, given: ExecCredential): Promise<Material> {
  const [ca, cert, key] = await Promise.all([
    fileOrData(cluster.caFile, cluster.caData),
    fileOrData(user.certFile, user.certData),
    fileOrData(user.keyFile, user.keyData),
  ]);
  return {
    ca,
    cert: given.clientCertificateData ?? cert,
    key: given.clientKeyData ?? key,
    servername: cluster.tlsServerName,
  };
}

function connectionOf(
  { cluster, user }: ClusterAccess,
  material: Material,
  bearer: string | undefined,
  previous: Established | undefined,
): Established {
  const headers = {
    ...(bearer && { Authorization: `Bearer ${bearer.trim()}` }),
    ...(user.impersonateUser && { 'Impersonate-User': user.impersonateUser }),
  };
  const fingerprint = fingerprintOf(cluster.server, material);
  if (previous?.fingerprint === fingerprint) return { ...previous, headers };
  const agent = makeAgent(material);
  if (previous) retire(previous.agent);
  return { server: new URL(cluster.server), agent, headers, fingerprint };
}

function makeAgent({ ca, cert, key, servername }: Material): Agent {
  const tls = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
  try {
    // Certificate and key are two files: what does not belong together (yet) must not replace what works.
    createSecureContext(tls);
  } catch (error) {
    throw new ApiError('identityUnusable', `certificate, key or CA: ${errorCode(error)}`);
  }
  return new Agent({
    ...tls,
    ...(servername && { servername }),
    keepAlive: true,
    keepAliveMsecs: TCP_KEEPALIVE_MS,
    maxSockets: MAX_SOCKETS,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
  });
}

/** Idle connections end now, the others when their answer is in. */
function retire(agent: Agent): void {
  agent.maxFreeSockets = 0;
  for (const sockets of Object.values(agent.freeSockets))
    for (const socket of sockets ?? []) socket.destroy();
}

function fingerprintOf(server: string, { ca, cert, key, servername }: Material): string {
  const hash = createHash('sha256').update(JSON.stringify([server, servername ?? '']));
  for (const part of [ca, cert, key]) hash.update(`\0${part?.length ?? -1}\0`).update(part ?? '');
  return hash.digest('hex');
}

async function fileOrData(path: string | undefined, data: string | undefined): Promise<Buffer | undefined> {
  if (!path) return data ? Buffer.from(data, 'base64') : undefined;
  return readFile(path).catch((error: unknown) => {
    throw new ApiError('identityUnusable', `${path}: ${errorCode(error)}`);
  });
}
