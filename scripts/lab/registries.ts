import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LabError } from './errors.ts';
import { randomPassword, writeHtpasswd } from './htpasswd.ts';
import type { ProcessIdentity } from './processes.ts';
import { type Registry, startRegistry } from './registry.ts';
import { makeKeyPair } from './signing.ts';
import {
  type Grants,
  startTokenServer,
  type TokenPolicy,
  type TokenRequest,
  tokenAuthConfig,
} from './token-server.ts';

/** Every user of it may pull everything; nobody else may pull anything. */
interface HtpasswdRegistry extends Registry {
  /** Changes a user's password, or adds the user; in force for the next request. */
  setPassword(user: string, password: string): Promise<void>;
}

/** Each user may pull the repositories granted to it. */
interface TokenRegistry extends Registry {
  /** Changes what users may pull; in force for the next token. Tokens live for 300 s. */
  setGrants(grants: Grants): void;
  /** Changes how those without right are answered. */
  setPolicy(policy: Partial<TokenPolicy>): void;
  /** Changes a user's password, or adds the user. */
  setPassword(user: string, password: string): void;
  /** What the token server was asked, oldest first. */
  tokenRequests(): readonly TokenRequest[];
}

/** The registries of one node. */
export interface Registries {
  htpasswd: HtpasswdRegistry;
  anonymous: Registry;
  token: TokenRegistry;
  /** Ends all three and the token server. */
  stop(): Promise<void>;
}

interface Surroundings {
  program: string;
  folder: string;
  onProcess: (process: ProcessIdentity) => Promise<void>;
}

function randomUsers(): Record<string, string> {
  return { alice: randomPassword(), bob: randomPassword(), dave: randomPassword() };
}

function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

async function startHtpasswd({ program, folder, onProcess }: Surroundings): Promise<HtpasswdRegistry> {
  const place = join(folder, 'htpasswd');
  await mkdir(place, { recursive: true });
  const file = join(place, 'users');
  const users = randomUsers();
  const lab = randomPassword();
  await writeHtpasswd(file, { ...users, lab });
  const registry = await startRegistry({
    kind: 'htpasswd',
    program,
    folder: place,
    auth: { htpasswd: { realm: 'lab', path: file } },
    users,
    pushAuthorization: () => basic('lab', lab),
    onProcess,
  });
  return {
    ...registry,
    async setPassword(user, password) {
      users[user] = password;
      // The registry reads the file again when its modification time changed.
      await writeHtpasswd(file, { ...users, lab });
    },
  };
}

async function startToken({
  program,
  folder,
  onProcess,
}: Surroundings): Promise<[TokenRegistry, () => Promise<void>]> {
  const place = join(folder, 'token');
  await mkdir(place, { recursive: true });
  const pair = await makeKeyPair(place, 'token');
  const service = 'lab-registry';
  const server = await startTokenServer(service, pair);
  server.users = randomUsers();
  server.grants = { alice: ['team-a/'], bob: ['team-b/'], dave: [] };
  const registry = await startRegistry({
    kind: 'token',
    program,
    folder: place,
    auth: tokenAuthConfig(server.realm, service, pair),
    users: server.users,
    pushAuthorization: (repository) => `Bearer ${server.pushToken(repository)}`,
    onProcess,
  });
  const token: TokenRegistry = {
    ...registry,
    setGrants(grants) {
      server.grants = grants;
    },
    setPolicy(policy) {
      server.policy = { ...server.policy, ...policy };
    },
    setPassword(user, password) {
      server.users[user] = password;
    },
    tokenRequests: () => server.requests,
  };
  return [token, () => server.close()];
}

/**
 * Starts the three registries below `folder` and writes their users' passwords to `passwords.json` there
 * (mode 0600).
 * @throws {LabError} when one of them does not come up.
 */
export async function startRegistries(surroundings: Surroundings): Promise<Registries> {
  const { program, folder, onProcess } = surroundings;
  const starting = [
    startHtpasswd(surroundings),
    startRegistry({ kind: 'anonymous', program, folder: join(folder, 'anonymous'), onProcess }),
    startToken(surroundings),
  ] as const;
  // When one fails, the others must not go on starting while the node is being torn down.
  await Promise.allSettled(starting);
  const [htpasswd, anonymous, [token, closeTokenServer]] = await Promise.all(starting);
  const hosts = new Set([htpasswd.host, anonymous.host, token.host]);
  if (hosts.size !== 3) throw new LabError('two registries were given the same port');
  const passwords = {
    htpasswd: { host: htpasswd.host, users: htpasswd.users },
    token: { host: token.host, users: token.users },
  };
  await writeFile(join(folder, 'passwords.json'), `${JSON.stringify(passwords, null, 2)}\n`, { mode: 0o600 });
  return {
    htpasswd,
    anonymous,
    token,
    async stop() {
      await Promise.all([htpasswd.stop(), anonymous.stop(), token.stop()]);
      await closeTokenServer();
    },
  };
}
