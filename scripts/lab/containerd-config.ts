import type { ContainerdSeries } from './programs.ts';

/** What differs from node to node in containerd's configuration. */
export interface ContainerdSettings {
  series: ContainerdSeries;
  /** The node's folder. */
  folder: string;
  socket: string;
  sandboxImage: string;
  snapshotter: string;
  runc: string;
  nriSocket: string;
  nri: boolean;
}

// JSON's escapes are all valid in TOML's basic strings.
const quote = (text: string): string => JSON.stringify(text);

function common({ folder, socket }: ContainerdSettings, version: number): string {
  return `version = ${version}
root = ${quote(`${folder}/root`)}
state = ${quote(`${folder}/state`)}
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.blockfile", "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = ${quote(socket)}

[debug]
  level = "info"

[plugins."io.containerd.internal.v1.opt"]
  path = ${quote(`${folder}/opt`)}
`;
}

function nriSection({ folder, nri, nriSocket }: ContainerdSettings): string {
  return `
[plugins."io.containerd.nri.v1.nri"]
  disable = ${!nri}
  socket_path = ${quote(nriSocket)}
  plugin_path = ${quote(`${folder}/nri/plugins`)}
  plugin_config_path = ${quote(`${folder}/nri/conf.d`)}
`;
}

function runtimeSection(plugin: string, { folder, runc }: ContainerdSettings): string {
  // runc's own state, by default below /run/containerd, goes with the node as well.
  return `
[plugins.${plugin}.containerd]
  default_runtime_name = "runc"

[plugins.${plugin}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins.${plugin}.containerd.runtimes.runc.options]
  BinaryName = ${quote(runc)}
  Root = ${quote(`${folder}/runc`)}
  SystemdCgroup = false
`;
}

function versionOne(settings: ContainerdSettings): string {
  const { folder, sandboxImage, snapshotter } = settings;
  const cri = '"io.containerd.grpc.v1.cri"';
  const name = 'default_runtime_name';
  const withSnapshotter = runtimeSection(cri, settings).replace(
    name,
    `snapshotter = ${quote(snapshotter)}\n  ${name}`,
  );
  return `${common(settings, 2)}
[plugins.${cri}]
  sandbox_image = ${quote(sandboxImage)}
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"

[plugins.${cri}.cni]
  bin_dir = ${quote(`${folder}/cni/bin`)}
  conf_dir = ${quote(`${folder}/cni/net.d`)}

[plugins.${cri}.registry]
  config_path = ${quote(`${folder}/certs.d`)}
${withSnapshotter}${
  // 1.6 has no such plugin.
  settings.series === '1.6' ? '' : nriSection(settings)
}`;
}

function versionTwo(settings: ContainerdSettings): string {
  const { folder, sandboxImage, snapshotter } = settings;
  const images = '"io.containerd.cri.v1.images"';
  const runtime = '"io.containerd.cri.v1.runtime"';
  return `${common(settings, 3)}
[plugins.${images}]
  snapshotter = ${quote(snapshotter)}

[plugins.${images}.pinned_images]
  sandbox = ${quote(sandboxImage)}

[plugins.${images}.registry]
  config_path = ${quote(`${folder}/certs.d`)}

[plugins.${runtime}]
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true

[plugins.${runtime}.cni]
  bin_dirs = [${quote(`${folder}/cni/bin`)}]
  conf_dir = ${quote(`${folder}/cni/net.d`)}

[plugins."io.containerd.grpc.v1.cri"]
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
${runtimeSection(runtime, settings)}${nriSection(settings)}`;
}

/** containerd's configuration file (TOML): format 2 for 1.x, 3 for 2.x. */
export function containerdConfig(settings: ContainerdSettings): string {
  return settings.series === '2' ? versionTwo(settings) : versionOne(settings);
}

/** A hosts.toml that makes containerd talk to `host` at this URL. */
export function hostsFile(url: string): string {
  return `server = ${quote(url)}

[host.${quote(url)}]
  capabilities = ["pull", "resolve"]
`;
}
