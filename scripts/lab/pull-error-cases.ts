import { rm } from 'node:fs/promises';
import {
  always,
  bearerChallenge,
  type FaultServer,
  startFaultServer,
  startTcpServer,
} from './fault-server.ts';
import type { PullAuth } from './kubelet.ts';
import type { LabNode } from './node.ts';
import { freePort } from './ports.ts';
import { type PushedImage, pushImage } from './push.ts';
import { makeKeyPair } from './signing.ts';

/** A pull that fails, and how to arrange that it does. */
export interface PullErrorCase {
  name: string;
  image: string;
  auth?: PullAuth;
  /** Default 60 s. */
  deadlineMs?: number;
  prepare?: () => void | Promise<void>;
  restore?: () => void | Promise<void>;
}

/** The cases, the names under which their ports are written down, and what ends their servers. */
export interface PullErrorCases {
  cases: PullErrorCase[];
  hosts: Record<string, string>;
  close(): Promise<void>;
}

const repository = 'team-a/app';

function registryCases(node: LabNode, { manifestDigest }: PushedImage): PullErrorCase[] {
  const { htpasswd, token, anonymous } = node.registries;
  const user = (registry: typeof htpasswd | typeof token, username: string, password?: string) => ({
    auth: { username, password: password ?? registry.users[username] ?? '' },
  });
  const cases: PullErrorCase[] = [];
  const unknownDigest = `sha256:${'0'.repeat(64)}`;
  for (const [by, reference] of [
    ['tag', ':v1'],
    ['digest', `@${manifestDigest}`],
  ] as const) {
    const inToken = { image: `${token.host}/${repository}${reference}` };
    const inHtpasswd = { image: `${htpasswd.host}/${repository}${reference}` };
    const refuse = {
      prepare: () => token.setPolicy({ anonymous: 'refuse', withoutRight: 'forbidden' }),
      restore: () => token.setPolicy({ anonymous: 'emptyToken', withoutRight: 'emptyToken' }),
    };
    cases.push(
      { name: `token: no credentials, by ${by}`, ...inToken },
      { name: `token: no credentials, token server refuses with 401, by ${by}`, ...inToken, ...refuse },
      { name: `token: wrong password, by ${by}`, ...inToken, ...user(token, 'alice', 'wrong') },
      { name: `token: unknown user, by ${by}`, ...inToken, ...user(token, 'mallory', 'any') },
      { name: `token: known user without right, by ${by}`, ...inToken, ...user(token, 'bob') },
      {
        name: `token: known user without right, token server refuses with 403, by ${by}`,
        ...inToken,
        ...user(token, 'bob'),
        ...refuse,
      },
      { name: `htpasswd: no credentials, by ${by}`, ...inHtpasswd },
      { name: `htpasswd: wrong password, by ${by}`, ...inHtpasswd, ...user(htpasswd, 'alice', 'wrong') },
    );
  }
  const absent = { tag: `${repository}:absent`, digest: `${repository}@${unknownDigest}` };
  for (const [what, path] of [...Object.entries(absent), ['repository', 'team-a/absent:v1']]) {
    cases.push(
      { name: `token: unknown ${what}`, image: `${token.host}/${path}`, ...user(token, 'alice') },
      { name: `htpasswd: unknown ${what}`, image: `${htpasswd.host}/${path}`, ...user(htpasswd, 'alice') },
      { name: `anonymous: unknown ${what}`, image: `${anonymous.host}/${path}` },
    );
  }
  const elsewhere = `${anonymous.host}/team-b/other@${manifestDigest}`;
  return [...cases, { name: 'anonymous: digest that is in another repository', image: elsewhere }];
}

/** Sets up everything that can go wrong with a pull on this node. */
export async function pullErrorCases(node: LabNode): Promise<PullErrorCases> {
  const { htpasswd, anonymous, token } = node.registries;
  const servers: FaultServer[] = [];
  const hosts: Record<string, string> = {
    [htpasswd.host]: '127.0.0.1:5001',
    [anonymous.host]: '127.0.0.1:5002',
    [token.host]: '127.0.0.1:5003',
  };
  for (const registry of [htpasswd, anonymous, token]) {
    await pushImage(registry, repository, 'v1', { salt: 'pull-errors' });
  }
  await pushImage(anonymous, 'team-b/other', 'v1', { salt: 'another' });
  const pushed = await pushImage(anonymous, repository, 'v1', { salt: 'pull-errors' });
  // What the agent asks about is present on the node.
  for (const { host, users } of [htpasswd, anonymous, token]) {
    const password = users.alice;
    const auth = password === undefined ? undefined : { username: 'alice', password };
    await node.kubelet.pullImage(`${host}/${repository}:v1`, auth);
  }
  const cases = registryCases(node, pushed);

  const bob = { username: 'bob', password: 'any' };
  const add = async (
    name: string,
    server: FaultServer | string,
    more: Partial<PullErrorCase> = {},
    scheme: 'http' | 'https' = 'http',
  ) => {
    const host = typeof server === 'string' ? server : server.host;
    if (typeof server !== 'string') servers.push(server);
    if (host.startsWith('127.')) {
      hosts[host] ??= '127.0.0.1:5005';
      await node.addRegistry(host, scheme);
    }
    const digest = `${host}/${repository}@${pushed.manifestDigest}`;
    cases.push({ name: `${name}, by tag`, image: `${host}/${repository}:v1`, auth: bob, ...more });
    cases.push({ name: `${name}, by digest`, image: digest, auth: bob, ...more });
  };
  const deadHost = `127.0.0.1:${await freePort()}`;
  for (const [status, code] of [
    [400, 'BAD_REQUEST'],
    [403, 'DENIED'],
    [404, 'NAME_UNKNOWN'],
    [429, 'TOOMANYREQUESTS'],
    [500, 'INTERNAL_ERROR'],
    [502, 'BAD_GATEWAY'],
    [503, 'UNAVAILABLE'],
    [504, 'GATEWAY_TIMEOUT'],
  ] as const) {
    await add(`registry answers ${status}`, await startFaultServer(always(status, code)));
    const tokenServer = await startFaultServer(always(status, code));
    servers.push(tokenServer);
    hosts[tokenServer.host] = '127.0.0.1:5004';
    const registry = await startFaultServer(bearerChallenge(`http://${tokenServer.host}/token`));
    await add(`token server answers ${status}`, registry);
  }
  await add('registry answers 401 without a challenge', await startFaultServer(always(401, 'UNAUTHORIZED')));
  const deadRealm = await startFaultServer(bearerChallenge(`http://${deadHost}/token`));
  await add('token server down', deadRealm);
  hosts[deadHost] = '127.0.0.1:5006';
  await add('registry down', deadHost);
  await add('registry hangs', await startFaultServer(() => {}), { deadlineMs: 3_000 });
  await add('registry closes the connection', await startTcpServer((socket) => socket.end()));
  await add('registry resets the connection', await startTcpServer((socket) => socket.resetAndDestroy()));
  await add('registry speaks no HTTP', await startTcpServer((socket) => socket.end('220 mail ready\r\n')));
  await add('host name unknown', 'registry.invalid:5000');
  const selfSigned = await makeKeyPair(node.root, 'self-signed');
  await add('TLS: unknown authority', await startFaultServer(always(404, 'X'), selfSigned), {}, 'https');
  await add('TLS: plain HTTP behind https', await startFaultServer(always(404, 'X')), {}, 'https');
  await add('TLS: https behind plain HTTP', await startFaultServer(always(404, 'X'), selfSigned));
  await rm(selfSigned.keyFile);
  return {
    cases,
    hosts,
    async close() {
      for (const server of servers) await server.close();
    },
  };
}
