import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hostsFile } from '../../scripts/lab/containerd-config.ts';
import type { LabNode } from '../../scripts/lab/node.ts';

/** Gives a registry a name as they have on real nodes: a host of its own, without a port. */
export async function nameRegistry(node: LabNode, name: string, host: string): Promise<void> {
  const folder = join(node.root, 'certs.d', name);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'hosts.toml'), hostsFile(`http://${host}`));
}
