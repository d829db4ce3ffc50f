import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IContainer, IPodSpec } from 'kubernetes-models/v1';
import { cgroupOf } from '../../scripts/lab/cleanup.ts';
import { runCommand } from '../../scripts/lab/command.ts';
import { CommandFailed } from '../../scripts/lab/errors.ts';
import { nodePrograms } from '../../scripts/lab/programs.ts';

/** Where on this machine the container's node has what the manifest's hostPath volumes name. */
export type NodePaths = Readonly<Record<string, string>>;

export type ContainerOnNode = {
  /**
   * Runs the manifest's container to its end, and returns what it wrote. Throws CommandFailed on any exit
   * code but 0.
   */
  runToEnd(container: IContainer, env: Readonly<Record<string, string>>): Promise<string>;
  start(container: IContainer, env: Readonly<Record<string, string>>): Promise<Started>;
};

export type Started = {
  /** Its first process, as this machine counts. */
  readonly pid: number;
  log(): Promise<string>;
  /** As `kubectl exec`. */
  exec(...command: string[]): Promise<string>;
  /** SIGTERM, as kubelet does; its exit code. */
  stop(): Promise<number | null>;
};

const STOP_PATIENCE_MS = 40_000;

/** What containerd gives a container that drops nothing (containerd's oci.WithDefaultUnixCaps). */
const DEFAULT_CAPABILITIES =
  'CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE'.split(
    ' ',
  );

/**
 * Runs containers of a manifest on a real containerd with the image's file system, security context and
 * volumes that the manifest gives them, by containerd's own `ctr`. The network is the machine's, as
 * everything in the lab; there is no kubelet, so probes, tokens and the environment are the caller's.
 */
export async function containerOnNode(
  node: { readonly root: string; readonly endpoint: string },
  image: { readonly rootfs: string; readonly entrypoint: readonly string[] },
  pod: IPodSpec,
  paths: NodePaths,
): Promise<ContainerOnNode> {
  const { containerdFolder, runc } = await nodePrograms('2');
  const address = node.endpoint.replace('unix://', '');
  const ctr = (...args: string[]): Promise<string> =>
    runCommand(join(containerdFolder, 'ctr'), ['--address', address, '--namespace', 'k8s.io', ...args], {
      timeoutMs: 60_000,
    });
  let containers = 0;

  function runArguments(id: string, container: IContainer, env: Readonly<Record<string, string>>): string[] {
    const { command = image.entrypoint, args = [], resources } = container;
    return [
      ...['--rootfs', '--net-host', '--runc-binary', runc, '--runc-root', join(node.root, 'runc')],
      // The node's own, so that whatever is left over ends with the node.
      ...['--cgroup', join(cgroupOf(node.root), id)],
      ...securityArguments(container, pod),
      ...['--memory-limit', String(bytesOf(String(resources?.limits?.memory)))],
      ...mountArguments(container, pod, paths),
      ...Object.entries(env).flatMap(([name, value]) => ['--env', `${name}=${value}`]),
      ...[image.rootfs, id, ...command, ...args],
    ];
  }

  return {
    async runToEnd(container, env) {
      containers += 1;
      return ctr('run', '--rm', ...runArguments(`${container.name}-${containers}`, container, env));
    },
    async start(container, env) {
      containers += 1;
      const id = `${container.name}-${containers}`;
      const [log, pidFile] = [join(node.root, `${id}.log`), join(node.root, `${id}.pid`)];
      const detached = ['--detach', '--log-uri', `file://${log}`, '--pid-file', pidFile];
      await ctr('run', ...detached, ...runArguments(id, container, env));
      return {
        pid: Number(await readFile(pidFile, 'utf8')),
        log: () => readFile(log, 'utf8'),
        exec: (...command) => ctr('tasks', 'exec', '--exec-id', `exec-${Date.now()}`, id, ...command),
        async stop() {
          await ctr('tasks', 'kill', '--signal', 'SIGTERM', id);
          const deadline = Date.now() + STOP_PATIENCE_MS;
          while (new RegExp(`^${id} .*RUNNING`, 'm').test(await ctr('tasks', 'ls'))) {
            if (Date.now() > deadline) throw new Error(`${id} does not end:\n${await readFile(log, 'utf8')}`);
            await sleep(50);
          }
          // Its exit code is that of the container.
          const code = await ctr('tasks', 'rm', id).then(
            () => 0,
            (error: unknown) => (error instanceof CommandFailed ? error.exitCode : Promise.reject(error)),
          );
          await ctr('containers', 'rm', id);
          return code;
        },
      };
    },
  };
}

function securityArguments({ securityContext }: IContainer, pod: IPodSpec): string[] {
  const { seccompProfile, runAsUser, runAsGroup } = pod.securityContext ?? {};
  const { privileged, allowPrivilegeEscalation, readOnlyRootFilesystem, capabilities } =
    securityContext ?? {};
  // What the manifests do not use has no words here.
  if (privileged !== false || runAsUser !== 0 || runAsGroup !== 0)
    throw new TypeError('not as the manifests are');
  return [
    ...(seccompProfile?.type === 'RuntimeDefault' ? ['--seccomp'] : []),
    ...(allowPrivilegeEscalation === false ? [] : ['--allow-new-privs']),
    ...(readOnlyRootFilesystem === true ? ['--read-only'] : []),
    ...(capabilities?.drop?.includes('ALL')
      ? DEFAULT_CAPABILITIES.flatMap((name) => ['--cap-drop', `CAP_${name}`])
      : []),
  ];
}

function mountArguments(
  { volumeMounts = [] }: IContainer,
  { volumes = [] }: IPodSpec,
  paths: NodePaths,
): string[] {
  return volumeMounts.flatMap(({ name, mountPath, readOnly }) => {
    const path = volumes.find((volume) => volume.name === name)?.hostPath?.path ?? '';
    const source = paths[path] ?? '';
    if (!existsSync(source)) throw new TypeError(`the node has no ${path}`);
    // What kubelet asks for where mountPropagation is not set.
    const options = `rbind:rprivate:${readOnly ? 'ro' : 'rw'}`;
    return ['--mount', `type=bind,src=${source},dst=${mountPath},options=${options}`];
  });
}

function bytesOf(quantity: string): number {
  const [, mebibytes] = /^(\d+)Mi$/.exec(quantity) ?? [];
  return Number(mebibytes) * 1024 * 1024;
}
