import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cgroupOf, sweep, tearDown } from './cleanup.ts';
import { runCommand } from './command.ts';
import { hostsFile } from './containerd-config.ts';
import { LabError } from './errors.ts';
import { connectKubelet, type Kubelet } from './kubelet.ts';
import { type KeptRecord, keepRecord } from './node-record.ts';
import { ensureInstalled } from './packages.ts';
import { nodeFolderPrefix } from './places.ts';
import { type ContainerdSeries, nodePrograms } from './programs.ts';
import { pushImage } from './push.ts';
import { type Registries, startRegistries } from './registries.ts';
import { prepareRuntime, type Runtime } from './runtime.ts';
import { usableSnapshotter } from './snapshotter.ts';

/** Which node to start. */
export interface NodeOptions {
  containerd: ContainerdSeries;
  /** Whether NRI plugins may connect (1.7 and 2; default no). */
  nri?: boolean;
  /** Told what is being done now, in a few words: it takes from seconds to minutes. */
  onProgress?: (what: string) => void;
}

/** A running node: containerd, three registries and a stand-in for kubelet. */
export interface LabNode {
  /** The folder with everything of the node: logs, sockets, content. */
  root: string;
  /** `unix:///…` */
  endpoint: string;
  /** Path of the NRI socket; present only when the node was started with NRI. */
  nriSocket: string | undefined;
  /** The runtime's own version, such as `1.6.20~ds1`. */
  version: string;
  registries: Omit<Registries, 'stop'>;
  kubelet: Kubelet;
  /** Lets containerd reach another registry: `host` is `127.0.0.1:PORT`; no restart needed. */
  addRegistry(host: string, scheme?: 'http' | 'https'): Promise<void>;
  /** Gives content that is present another name, as an administrator does by hand (`ctr images tag`). */
  tagImage(from: string, to: string): Promise<void>;
  /** Ends containerd in order; containers survive. */
  stopRuntime(): Promise<void>;
  /** SIGKILL for containerd; containers survive. */
  killRuntime(): Promise<void>;
  /** Starts containerd again on the same socket and waits until it is ready. */
  startRuntime(): Promise<void>;
  /** Ends and removes everything: processes, mounts, cgroups, folder. May be called again. */
  stop(): Promise<void>;
}

async function trustRegistry(root: string, host: string, scheme: 'http' | 'https'): Promise<void> {
  await mkdir(join(root, 'certs.d', host), { recursive: true });
  await writeFile(join(root, 'certs.d', host, 'hosts.toml'), hostsFile(`${scheme}://${host}`));
}

async function startWithin(
  root: string,
  { containerd: series, nri = false, onProgress = () => {} }: NodeOptions,
  kept: KeptRecord,
): Promise<LabNode> {
  const { addChild: onProcess } = kept;
  const { cgroup, socket } = kept.record;
  onProgress(`fetching containerd ${series}, runc and a registry from Debian, unless they are here`);
  const programs = await nodePrograms(series);
  onProgress('starting three registries');
  const registries = await startRegistries({
    program: programs.registry,
    folder: join(root, 'registries'),
    onProcess,
  });
  const endpoint = `unix://${socket}`;
  const kubelet = connectKubelet(endpoint, { cgroupParent: cgroup, logFolder: join(root, 'logs') });
  const nriSocket = join(root, 'nri.sock');
  let stopped: Promise<void> | undefined;
  let runtime: Runtime | undefined;
  const stop = async () => {
    kubelet.close();
    await runtime?.kill();
    await registries.stop();
    await tearDown(root, kept.record);
  };
  try {
    await pushImage(registries.anonymous, 'lab/pause', 'v1', { salt: 'pause' });
    const settings = {
      series,
      folder: root,
      socket,
      sandboxImage: `${registries.anonymous.host}/lab/pause:v1`,
      snapshotter: await usableSnapshotter(root),
      runc: programs.runc,
      nriSocket,
      nri,
    };
    const prepared = await prepareRuntime({
      settings,
      programs: programs.containerdFolder,
      kubelet,
      onProcess,
    });
    runtime = prepared;
    const { htpasswd, anonymous, token } = registries;
    for (const { host } of [htpasswd, anonymous, token]) await trustRegistry(root, host, 'http');
    onProgress(`starting containerd ${series}`);
    const version = await prepared.start();
    // Done now, so that the first pod is not slower than the others and works with the registries stopped.
    await kubelet.pullImage(settings.sandboxImage);
    return {
      root,
      endpoint,
      nriSocket: nri ? nriSocket : undefined,
      version,
      registries: { htpasswd, anonymous, token },
      kubelet,
      addRegistry: (host, scheme = 'http') => trustRegistry(root, host, scheme),
      async tagImage(from, to) {
        const ofKubelet = ['--address', socket, '--namespace', 'k8s.io'];
        const tag = ['images', 'tag', '--force', from, to];
        await runCommand(join(programs.containerdFolder, 'ctr'), [...ofKubelet, ...tag]);
      },
      stopRuntime: () => prepared.stop(),
      killRuntime: () => prepared.kill(),
      async startRuntime() {
        await prepared.start();
      },
      stop() {
        stopped ??= stop();
        return stopped;
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * Starts a node; first clears away what crashed ones left. Needs root.
 * @throws {PackageUnavailable} when this machine cannot get the programs.
 * @throws {LabError} when something does not come up; nothing is left behind then.
 */
export async function startNode(options: NodeOptions): Promise<LabNode> {
  if (process.getuid?.() !== 0) throw new LabError('a node needs root: it mounts and makes cgroups');
  if (options.nri === true && options.containerd === '1.6') {
    throw new LabError('containerd 1.6 offers no NRI that a plugin of today could use');
  }
  await sweep();
  await ensureInstalled({ cc: ['gcc', 'libc6-dev'], openssl: ['openssl'], perl: ['perl-base'] });
  const root = await mkdtemp(nodeFolderPrefix);
  const socket = join(root, 'containerd.sock');
  // sun_path holds 108 bytes, and containerd adds `.ttrpc`.
  if (socket.length > 100)
    throw new LabError(`the temporary folder's path is too long for a socket: ${root}`);
  const kept = await keepRecord(root, cgroupOf(root), socket);
  try {
    return await startWithin(root, options, kept);
  } catch (error) {
    await tearDown(root, kept.record);
    throw error;
  }
}
