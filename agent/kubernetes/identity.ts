import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { createSecureContext } from 'node:tls';
import { ApiError } from '../errors.ts';
import type { ClusterAccess, Pem } from './cluster-access.ts';
import { errorCode } from './error-code.ts';
import { createExecPlugin, type ExecCredential } from './exec-plugin.ts';
import { type AccessPlaces, loadClusterAccess } from './load-cluster-access.ts';

/** What one request needs: where to, over which connections, with which headers. Must never be logged. */
export type Connection = {
  readonly server: URL;
  readonly agent: Agent;
  readonly headers: Readonly<Record<string, string>>;
};

export type Identity = {
  /**
   * As the files say now, or said a few seconds ago.
   *
   * @throws ApiError identityUnusable
   */
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

/** A peer that is gone without a word is noticed after about 20 s: Node probes ten times, a second apart. */
const TCP_KEEPALIVE_MS = 10_000;
const MAX_SOCKETS = 16;

type Material = {
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | string | undefined;
  readonly key: Buffer | string | undefined;
  readonly servername: string | undefined;
};

type Established = Connection & { readonly fingerprint: string };

/**
 * Who the agent is to the API server. Kubeconfig, CA, client certificate and token are read again every few
 * seconds; where certificates changed, new requests go over new connections and those under way end on the
 * old ones. A file that cannot be read for a moment (it is being replaced) leaves what was there in force.
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
      const { exec } = access.user;
      const given = exec ? await plugin.credential(exec) : {};
      const material = await materialOf(access, given);
      current = connectionOf(access, material, await bearerOf(access.user, given), current);
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

/** Undefined where the user has none. */
async function bearerOf(
  { token }: ClusterAccess['user'],
  given: ExecCredential,
): Promise<string | undefined> {
  if (token === undefined) return given.token?.trim() || undefined;
  if ('text' in token) return token.text.trim();
  const text = await readFile(token.file, 'utf8').catch((error: unknown) => {
    throw new ApiError('identityUnusable', `token file ${token.file}: ${errorCode(error)}`);
  });
  // A file usually ends in a newline, which no header may hold.
  const bearer = text.trim();
  if (!/^[\x21-\x7e]+$/.test(bearer)) {
    throw new ApiError('identityUnusable', `token file ${token.file}: does not hold a token`);
  }
  return bearer;
}

async function materialOf({ cluster, user }: ClusterAccess, given: ExecCredential): Promise<Material> {
  const [ca, cert, key] = await Promise.all([cluster.ca, user.certificate, user.key].map(readPem));
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
    ...(bearer && { Authorization: `Bearer ${bearer}` }),
    ...(user.impersonated && { 'Impersonate-User': user.impersonated }),
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

async function readPem(pem: Pem | undefined): Promise<Buffer | undefined> {
  if (pem === undefined || 'text' in pem) return pem?.text;
  return readFile(pem.file).catch((error: unknown) => {
    throw new ApiError('identityUnusable', `${pem.file}: ${errorCode(error)}`);
  });
}
