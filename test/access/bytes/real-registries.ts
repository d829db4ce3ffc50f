import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { createRegistryClient, type RegistryClient } from '../../../agent/registry/client.ts';
import { createEndpoints } from '../../../agent/registry/endpoint/endpoints.ts';
import { unpackedPackage } from '../../../scripts/lab/packages.ts';
import { endProcesses, type ProcessIdentity } from '../../../scripts/lab/processes.ts';
import { type Registries, startRegistries } from '../../../scripts/lab/registries.ts';

export type RealRegistries = { readonly registries: Registries; readonly client: RegistryClient };

/** Real registries for the tests of a file, and the agent's own client for them. */
export function useRealRegistries(): () => RealRegistries {
  let real: RealRegistries | undefined;
  let folder = '';
  const processes: ProcessIdentity[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pullwarden-registries-'));
    const { root } = await unpackedPackage('docker-registry', ['bookworm'], /^2\./);
    const registries = await startRegistries({
      program: join(root, 'usr/bin/docker-registry'),
      folder,
      onProcess: async (started) => void processes.push(started),
    });
    const hosts = join(folder, 'hosts');
    for (const { host } of [registries.anonymous, registries.htpasswd]) {
      await mkdir(join(hosts, host), { recursive: true });
      await writeFile(join(hosts, host, 'hosts.toml'), `server = "http://${host}"\n`);
    }
    const endpoints = createEndpoints({ runtime: 'containerd', folders: [hosts], authoritativeMirrors: [] });
    real = { registries, client: createRegistryClient({ endpoints, environment: {} }) };
  }, 180_000);

  afterAll(async () => {
    await real?.client.close();
    await real?.registries.stop();
    await endProcesses(processes, 'SIGKILL', 5_000);
    await rm(folder, { recursive: true, force: true });
  });

  return () => {
    if (real === undefined) throw new Error('only within a test');
    return real;
  };
}
