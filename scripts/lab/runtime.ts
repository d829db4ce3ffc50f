import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ContainerdSettings, containerdConfig } from './containerd-config.ts';
import { CriError } from './cri.ts';
import { type Daemon, startDaemon } from './daemon.ts';
import { LabError } from './errors.ts';
import type { Kubelet } from './kubelet.ts';
import type { ProcessIdentity } from './processes.ts';

/** A containerd that can be stopped and started on the same socket. */
export interface Runtime {
  /** Starts it and waits until it is ready; returns its own version, such as `1.6.20~ds1`. */
  start(): Promise<string>;
  /** Ends it in order; shims and containers stay. */
  stop(): Promise<void>;
  /** SIGKILL; shims and containers stay. */
  kill(): Promise<void>;
}

/** What {@link prepareRuntime} needs besides the settings. */
export interface RuntimeOptions {
  settings: ContainerdSettings;
  /** Folder of containerd and its shim. */
  programs: string;
  kubelet: Kubelet;
  onProcess: (process: ProcessIdentity) => Promise<void>;
}

/**
 * Writes containerd's configuration; starts nothing yet. Its log is `containerd.log` in the node's folder.
 */
export async function prepareRuntime(options: RuntimeOptions): Promise<Runtime> {
  const { settings, programs, kubelet, onProcess } = options;
  const { folder } = settings;
  // Beside certs.d, where real nodes have it.
  const configFile = join(folder, 'config.toml');
  const log = join(folder, 'containerd.log');
  for (const name of ['certs.d', 'cni/bin', 'cni/net.d', 'nri/plugins', 'nri/conf.d', 'opt', 'tmp']) {
    await mkdir(join(folder, name), { recursive: true });
  }
  await writeFile(configFile, containerdConfig(settings), { mode: 0o600 });
  let daemon: Daemon | undefined;

  const ready = async (started: Daemon): Promise<string> => {
    let problem = '';
    for (const deadline = Date.now() + 20_000; Date.now() < deadline; await sleep(20)) {
      if (!started.isRunning()) break;
      try {
        const { version, ready: isReady } = await kubelet.version();
        if (isReady) return version;
        problem = 'RuntimeReady is false';
      } catch (error) {
        if (!(error instanceof CriError)) throw error;
        problem = error.message;
      }
    }
    const text = await readFile(log, 'utf8');
    throw new LabError(`containerd did not become ready: ${problem}\n${text.slice(-1500)}`);
  };

  return {
    async start() {
      if (daemon?.isRunning() !== true) {
        daemon = await startDaemon({
          program: join(programs, 'containerd'),
          arguments: ['--config', configFile],
          stdoutFile: log,
          stderrFile: log,
          env: { PATH: `${programs}:${process.env.PATH ?? ''}`, TMPDIR: join(folder, 'tmp') },
          onProcess,
        });
      }
      return ready(daemon);
    },
    async stop() {
      await daemon?.end('SIGTERM', 10_000);
    },
    async kill() {
      await daemon?.end('SIGKILL');
    },
  };
}
