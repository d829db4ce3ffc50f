import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unpackedPackage } from '../../../scripts/lab/packages.ts';

/** Kubectl speaks WebSocket to exec from 1.31 on. Debian's package, never installed. */
const kubectl = await unpackedPackage('kubectl', ['trixie', 'forky', 'sid'], /^1\.(3[1-9]|[4-9]\d)\./);

export type Ended = { readonly exitCode: number | null; readonly stdout: string; readonly stderr: string };

/** `kubectl pullwarden` as a process of its own, with a real kubectl. */
export type Plugin = {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Lines of standard output, once there are so many. */
  lines(count: number): Promise<readonly string[]>;
  /** Standard error, once it matches. */
  said(pattern: RegExp): Promise<string>;
};

export type PluginHome = {
  /** Where it keeps what it needs while it runs. */
  readonly temporary: string;
  start(...args: readonly string[]): Plugin;
  remove(): Promise<void>;
};

/** Kubectl keeps what it has discovered in its home, which is one of the test's. */
export async function pluginHome(kubeconfig: string): Promise<PluginHome> {
  const home = await mkdtemp(join(tmpdir(), 'pullwarden-home-'));
  const temporary = await mkdtemp(join(home, 'tmp-'));
  return {
    temporary,
    start: (...args) =>
      pluginOf(
        spawn(process.execPath, ['agent/kubectl-pullwarden.ts', ...args, '--kubeconfig', kubeconfig], {
          stdio: ['ignore', 'pipe', 'pipe'],
          env: {
            ...process.env,
            ...{ HOME: home, TMPDIR: temporary, KUBECTL: join(kubectl.root, 'usr/bin/kubectl') },
          },
        }),
      ),
    remove: () => rm(home, { recursive: true }),
  };
}

function pluginOf(child: ChildProcess): Plugin {
  let stdout = '';
  let stderr = '';
  const onMore = new Set<() => void>();
  const more = (): void => {
    for (const look of onMore) look();
  };
  child.stdout?.on('data', (part) => {
    stdout += part;
    more();
  });
  child.stderr?.on('data', (part) => {
    stderr += part;
    more();
  });
  const once = <Value>(find: () => Value | undefined): Promise<Value> =>
    new Promise((resolve) => {
      const look = (): void => {
        const found = find();
        if (found === undefined) return;
        onMore.delete(look);
        resolve(found);
      };
      onMore.add(look);
      look();
    });
  return {
    child,
    ended: new Promise((resolve) => child.on('close', (exitCode) => resolve({ exitCode, stdout, stderr }))),
    lines: (count) =>
      once(() => {
        const lines = stdout.split('\n').slice(0, -1);
        return lines.length >= count ? lines : undefined;
      }),
    said: (pattern) => once(() => (pattern.test(stderr) ? stderr : undefined)),
  };
}
