import type { ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Kubectl } from '../kubectl.ts';

/** `kubectl proxy` while it runs. */
export type KubectlProxy = {
  readonly socketPath: string;
  stop(): Promise<void>;
};

const PATIENCE_MS = 10_000;

/**
 * Starts `kubectl proxy` for exec in the pods of this namespace and for nothing else. It listens on a socket
 * in a folder that only this user may enter, because whoever reaches it acts with this user's rights.
 * Undefined where it does not start.
 */
export async function startProxy(kubectl: Kubectl, namespace: string): Promise<KubectlProxy | undefined> {
  // Node has no Unix sockets on Windows, and a port of the machine would be open to its other users.
  if (process.platform === 'win32' || !/^[a-z0-9-]+$/.test(namespace)) return undefined;
  const folder = await mkdtemp(join(tmpdir(), 'kubectl-pullwarden-'));
  const socketPath = join(folder, 'proxy');
  const child = kubectl.start([
    'proxy',
    `--unix-socket=${socketPath}`,
    `--accept-paths=^/api/v1/namespaces/${namespace}/pods/[^/]+/exec$`,
    // By default it is exec that is rejected.
    '--reject-paths=^$',
  ]);
  const removeFolder = () => rmSync(folder, { recursive: true, force: true });
  process.once('exit', removeFolder);
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  const stop = async () => {
    child.kill('SIGTERM');
    await ended;
    removeFolder();
    process.removeListener('exit', removeFolder);
  };
  if (await isServing(child, ended)) return { socketPath, stop };
  await stop();
  return undefined;
}

/** It says so in a line once it listens. */
function isServing(child: ChildProcess, ended: Promise<void>): Promise<boolean> {
  return new Promise((resolve) => {
    const patience = setTimeout(() => resolve(false), PATIENCE_MS);
    const settle = (isThere: boolean) => {
      clearTimeout(patience);
      resolve(isThere);
    };
    let said = '';
    child.stdout?.setEncoding('utf8').on('data', (part: string) => {
      said = `${said}${part}`.slice(0, 4_096);
      if (said.includes('Starting to serve')) settle(true);
    });
    // Read, so that it never waits for a reader; what is wrong, the first `kubectl exec` says better.
    child.stderr?.resume();
    void ended.then(() => settle(false));
  });
}
