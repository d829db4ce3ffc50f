import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createEndpoints } from '../../agent/registry/endpoint/endpoints.ts';
import { temporaryFolder } from './scene.ts';

const registry = 'registry.example';
const images = 'plugins."io.containerd.cri.v1.images"';

/** containerd's folder: `@` in the texts stands for its certs.d. */
async function mayHaveOwnWay(config: string | undefined, hosts?: string): Promise<boolean> {
  const root = await temporaryFolder();
  const folder = join(root, 'certs.d');
  await mkdir(join(folder, registry), { recursive: true });
  if (config !== undefined) await writeFile(join(root, 'config.toml'), config.replaceAll('@', folder));
  if (hosts !== undefined) await writeFile(join(folder, registry, 'hosts.toml'), hosts);
  return createEndpoints({
    runtime: 'containerd',
    folders: [folder],
    authoritativeMirrors: [],
  }).mayHaveOwnWay(registry);
}

const plain = `[${images}.registry]\nconfig_path = "/other:@"`;

describe('a runtime without a way of its own', () => {
  it.each<[string, string, string | undefined]>([
    ['a config.toml that names the folder and nothing else', plain, undefined],
    ['of containerd 1.x', '[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "@"', undefined],
    [
      'the registry itself in hosts.toml',
      plain,
      `server = "https://${registry}"\n[host."https://${registry}"]`,
    ],
    [
      'its TLS settings',
      `${plain}\n[${images}.registry.configs."${registry}".tls]\nca_file = "x"`,
      undefined,
    ],
    ['a mirror that is only pushed to', plain, '[host."https://mirror.example"]\ncapabilities = ["push"]'],
  ])('%s', async (_what, config, hosts) => {
    expect(await mayHaveOwnWay(config, hosts)).toBe(false);
  });
});

describe('a runtime that may have a way of its own', () => {
  it.each<[string, string | undefined, string | undefined]>([
    ['a mirror', plain, '[host."https://mirror.example"]'],
    ['a header that logs in', plain, `[header]\nauthorization = "Basic x"`],
    ['credentials', `${plain}\n[${images}.registry.configs."${registry}".auth]\nusername = "x"`, undefined],
    [
      'a mirror in config.toml',
      `${plain}\n[${images}.registry.mirrors."${registry}"]\nendpoint = []`,
      undefined,
    ],
    ['more configuration elsewhere', `imports = ["/etc/containerd/conf.d/*.toml"]\n${plain}`, undefined],
    ['a config.toml that names other folders', `[${images}.registry]\nconfig_path = "/other"`, undefined],
    ['a config.toml without a word about registries', 'version = 3', undefined],
    ['no config.toml to be read', undefined, undefined],
    ['a config.toml that is none', '[', undefined],
    ['a hosts.toml that is none', plain, '['],
  ])('%s', async (_what, config, hosts) => {
    expect(await mayHaveOwnWay(config, hosts)).toBe(true);
  });

  it('CRI-O always: its credentials are by namespace', async () => {
    const file = join(await temporaryFolder(), 'registries.conf');
    const endpoints = createEndpoints({
      runtime: 'crio',
      file,
      certificateFolders: [],
      authoritativeMirrors: [],
    });
    expect(await endpoints.mayHaveOwnWay(registry)).toBe(true);
  });
});

describe('the hosts that are a registry itself', () => {
  it.each<[string, string | undefined, string[]]>([
    ['docker.io', undefined, ['docker.io', 'registry-1.docker.io']],
    [registry, undefined, [registry]],
    [
      registry,
      'server = "https://10.0.0.1:5000"\n[host."https://mirror.example"]',
      [registry, '10.0.0.1:5000'],
    ],
    [registry, '[', [registry]],
  ])('%s %s', async (name, hosts, expected) => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, name));
    if (hosts !== undefined) await writeFile(join(folder, name, 'hosts.toml'), hosts);
    const endpoints = createEndpoints({ runtime: 'containerd', folders: [folder], authoritativeMirrors: [] });
    expect(await endpoints.hosts(name)).toEqual(expected);
  });
});
