import { readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ApiClient, createApiClient } from '../../agent/kubernetes/api-client.ts';
import { createIdentity, type IdentityOptions } from '../../agent/kubernetes/identity.ts';
import { type ApiServer, startApiServer } from '../cluster/api-server/api-server.ts';
import { podObject } from '../pods/kubernetes/objects.ts';
import { NODE_USER } from '../pods/kubernetes/scene.ts';

const ACCOUNT = 'system:serviceaccount:pullwarden:agent';

let server: ApiServer;
let client: ApiClient | undefined;

beforeEach(async () => {
  server = await startApiServer({ nodeName: 'lab' });
  server.putPod(podObject('web'));
});

afterEach(async () => {
  client?.close();
  await server.close();
});

function connect(options: IdentityOptions): ApiClient {
  client = createApiClient({ identity: createIdentity({ recheckMs: 30, ...options }), timeoutMs: 15_000 });
  return client;
}

const path = '/api/v1/namespaces/team-a/pods/web';
const ask = (): Promise<unknown> => client?.ask({ path }) ?? Promise.reject(new Error('no client'));
const failure = (): Promise<unknown> => ask().catch((error: unknown) => error);
const lastUser = (): string | undefined => server.requests().at(-1)?.user;
const afterRecheck = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 40));

describe('the identity of the node', () => {
  it.each(['certificateFiles', 'certificateData', 'token', 'tokenFile'] as const)(
    'is what its kubeconfig says by %s',
    async (by) => {
      connect({ kubeconfig: (await server.kubeconfig(NODE_USER, { by })).path });
      expect(await ask()).toMatchObject({ kind: 'Pod', metadata: { name: 'web' } });
      expect(lastUser()).toBe(NODE_USER);
    },
  );

  it('is another once its certificate was replaced on disk; a request under way is not cut off', async () => {
    const kubeconfig = await server.kubeconfig(NODE_USER);
    connect({ kubeconfig: kubeconfig.path });
    server.fault({ on: { verb: 'get' }, times: 1, does: { kind: 'delay', ms: 200 } });
    const underWay = ask();
    const other = await server.kubeconfig('system:node:other');
    await rename(other.certificateFile, kubeconfig.certificateFile);
    await rename(other.keyFile, kubeconfig.keyFile);
    await afterRecheck();
    expect(await failure()).toMatchObject({ reason: 'forbidden' });
    expect(lastUser()).toBe('system:node:other');
    expect(await underWay).toMatchObject({ kind: 'Pod' });
  });

  it('is that of a file with both certificate and key, behind a link that kubelet turns to the next one', async () => {
    const together = async (user: string, file: string): Promise<string> => {
      const { certificateFile, keyFile } = await server.kubeconfig(user);
      const path = join(certificateFile, '..', file);
      await writeFile(path, `${await readFile(certificateFile)}${await readFile(keyFile)}`);
      return path;
    };
    const current = join(server.caFile, '..', 'kubelet-client-current.pem');
    await symlink(await together(NODE_USER, 'kubelet-client-1.pem'), current);
    const kubeconfig = await server.kubeconfig(NODE_USER);
    const text = await readFile(kubeconfig.path, 'utf8');
    const { certificateFile, keyFile } = kubeconfig;
    await writeFile(kubeconfig.path, text.replace(certificateFile, current).replace(keyFile, current));
    connect({ kubeconfig: kubeconfig.path });
    await ask();
    expect(lastUser()).toBe(NODE_USER);
    await symlink(await together('system:node:other', 'kubelet-client-2.pem'), `${current}.new`);
    await rename(`${current}.new`, current);
    await afterRecheck();
    await failure();
    expect(lastUser()).toBe('system:node:other');
  });

  it('stays while certificate and key do not belong together: one of two files is replaced', async () => {
    const kubeconfig = await server.kubeconfig(NODE_USER);
    connect({ kubeconfig: kubeconfig.path });
    await ask();
    const other = await server.kubeconfig('system:node:other');
    await rename(other.certificateFile, kubeconfig.certificateFile);
    await afterRecheck();
    expect(await ask()).toMatchObject({ kind: 'Pod' });
    expect(lastUser()).toBe(NODE_USER);
  });

  it('stays while the kubeconfig is away or half written', async () => {
    const kubeconfig = await server.kubeconfig(NODE_USER);
    connect({ kubeconfig: kubeconfig.path });
    await ask();
    await writeFile(kubeconfig.path, '{"clusters": [');
    await afterRecheck();
    expect(await ask()).toMatchObject({ kind: 'Pod' });
    await rm(kubeconfig.path);
    await afterRecheck();
    expect(await ask()).toMatchObject({ kind: 'Pod' });
  });

  it('is renewed at once where the API server refuses it, whenever the files were last read', async () => {
    const kubeconfig = await server.kubeconfig(NODE_USER, { by: 'tokenFile' });
    connect({ kubeconfig: kubeconfig.path, recheckMs: 3_600_000 });
    await ask();
    await kubeconfig.rotate();
    server.revokeToken(kubeconfig.token);
    expect(await ask()).toMatchObject({ kind: 'Pod' });
    expect(server.requests().map(({ code }) => code)).toEqual([200, 401, 200]);
  });

  it('that is refused for good is asked with twice, not for ever', async () => {
    connect({ kubeconfig: (await server.kubeconfig(NODE_USER)).path });
    server.refuse(NODE_USER);
    expect(await failure()).toMatchObject({ reason: 'unauthorized' });
    expect(server.requests()).toHaveLength(2);
  });

  it('is not shown to a server that another authority vouches for', async () => {
    const stranger = await startApiServer();
    try {
      const kubeconfig = await server.kubeconfig(NODE_USER, { by: 'token' });
      const strangers = await stranger.kubeconfig(NODE_USER, { by: 'token' });
      await writeFile(
        kubeconfig.path,
        JSON.stringify({
          clusters: [
            { name: 'c', cluster: { server: stranger.url, 'certificate-authority': server.caFile } },
          ],
          users: [{ name: 'u', user: { token: strangers.token } }],
          contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
          'current-context': 'x',
        }),
      );
      connect({ kubeconfig: kubeconfig.path });
      expect(await failure()).toMatchObject({ reason: 'unreachable' });
      expect(stranger.requests()).toEqual([]);
    } finally {
      await stranger.close();
    }
  });
});

describe('a ServiceAccount', () => {
  it('is read from the files of the pod, and its token again as it rotates', async () => {
    server.grant(ACCOUNT, { verbs: ['get'], resources: ['pods'] });
    const files = await server.serviceAccountFiles('pullwarden', 'agent');
    connect({ environment: files.environment, serviceAccountDirectory: files.directory });
    expect(await ask()).toMatchObject({ kind: 'Pod' });
    await files.rotate();
    await afterRecheck();
    server.revokeToken(files.token);
    expect(await ask()).toMatchObject({ kind: 'Pod' });
    expect(server.requests().map(({ user, code }) => [user, code])).toEqual([
      [ACCOUNT, 200],
      [ACCOUNT, 200],
    ]);
  });

  it.each([
    ['is empty', ''],
    ['holds what no header may', 'hunter2\nhunter3'],
  ])('whose token file %s says so, without repeating it', async (_, token) => {
    const files = await server.serviceAccountFiles('pullwarden', 'agent');
    await writeFile(join(files.directory, 'token'), token);
    connect({ environment: files.environment, serviceAccountDirectory: files.directory });
    const error = await failure();
    expect(error).toMatchObject({
      reason: 'identityUnusable',
      message: expect.stringContaining('does not hold a token'),
    });
    expect(inspect(error, { depth: 9 })).not.toContain('hunter');
    expect(server.requests()).toEqual([]);
  });

  it('whose token is away says where it should be', async () => {
    const files = await server.serviceAccountFiles('pullwarden', 'agent');
    await rm(join(files.directory, 'token'));
    connect({ environment: files.environment, serviceAccountDirectory: files.directory });
    expect(await failure()).toMatchObject({
      reason: 'identityUnusable',
      message: `token file ${join(files.directory, 'token')}: ENOENT`,
    });
  });
});

describe('an exec plugin', () => {
  async function plugin(body: string): Promise<{ file: string; path: string; token: string }> {
    const file = join(server.caFile, '..', 'plugin');
    const kubeconfig = await server.kubeconfig(NODE_USER, { by: 'exec', command: file });
    await write(file, body.replaceAll('TOKEN', kubeconfig.token));
    return { file, path: kubeconfig.path, token: kubeconfig.token };
  }
  const write = (file: string, body: string): Promise<void> =>
    writeFile(file, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  const printToken = `echo '{"kind":"ExecCredential","status":{"token":"TOKEN"}}'`;

  it('says who the agent is', async () => {
    connect({ kubeconfig: (await plugin(printToken)).path });
    expect(await ask()).toMatchObject({ kind: 'Pod' });
    expect(lastUser()).toBe(NODE_USER);
  });

  it('is run again where its token is refused', async () => {
    const { file, path: kubeconfig, token } = await plugin(printToken);
    connect({ kubeconfig });
    await ask();
    await write(file, printToken.replace('TOKEN', server.issueToken(NODE_USER)));
    server.revokeToken(token);
    await afterRecheck();
    expect(await ask()).toMatchObject({ kind: 'Pod' });
    expect(server.requests().map(({ code }) => code)).toEqual([200, 401, 200]);
  });

  it('that fails and prints its token tells nobody', async () => {
    const { path: kubeconfig, token } = await plugin('echo TOKEN; echo TOKEN >&2; exit 1');
    connect({ kubeconfig });
    const error = await failure();
    expect(error).toMatchObject({ reason: 'identityUnusable' });
    expect(inspect(error, { depth: 9 })).not.toContain(token);
  });

  it('that hangs holds a request up no longer than its deadline', async () => {
    const { path: kubeconfig } = await plugin('sleep 600');
    client = createApiClient({
      identity: createIdentity({ kubeconfig, execTimeoutMs: 5_000 }),
      timeoutMs: 200,
    });
    expect(await failure()).toMatchObject({ reason: 'timeout' });
  });
});
