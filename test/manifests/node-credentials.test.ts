import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClusterRole } from 'kubernetes-models/rbac.authorization.k8s.io/v1';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resolveConfig } from '../../agent/config/resolve.ts';
import { containersOf, environmentOf, type Installation, installationOf } from './installation.ts';
import { build, buildAnew, NODE_CREDENTIALS, pathFrom } from './kustomize.ts';
import { schemaProblems } from './schemas.ts';

const CONFIG = 'PULLWARDEN_IMAGE_CREDENTIAL_PROVIDER_CONFIG';
const BIN_DIR = 'PULLWARDEN_IMAGE_CREDENTIAL_PROVIDER_BIN_DIR';
const LOOPBACK = '127.0.0.1';

describe.each(NODE_CREDENTIALS)('manifests/%s', { timeout: 60_000 }, (folder) => {
  let installed: Installation;
  beforeAll(async () => {
    installed = installationOf(await build(folder));
  });

  it("is on the node's network, where the instance metadata answers, and shares nothing else with the node", () => {
    const { pod } = installed;
    expect(pod.hostNetwork).toBe(true);
    expect([pod.hostPID, pod.hostIPC, pod.shareProcessNamespace]).toEqual(Array(3).fill(undefined));
  });

  it('offers its metrics to the node alone, and is probed there', () => {
    const { agent, options } = installed;
    const { [CONFIG]: _, [BIN_DIR]: __, ...known } = environmentOf(agent, options);
    expect(resolveConfig({ flags: {}, env: known }).listenAddress).toEqual({ host: LOOPBACK, port: 9468 });
    for (const probe of [agent.startupProbe, agent.livenessProbe, agent.readinessProbe]) {
      expect(probe?.httpGet?.host).toBe(LOOPBACK);
    }
  });

  it('keeps what every container of the agent gives up', () => {
    for (const { name, securityContext } of containersOf(installed.pod)) {
      expect(securityContext, name).toEqual({
        privileged: false,
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
    }
  });

  it('finds configuration, executables and certificate authorities where they are on the node, read-only', () => {
    const { pod, options } = installed;
    const paths = new Map(pod.volumes?.map(({ name, hostPath }) => [name, hostPath?.path]));
    for (const { volumeMounts = [] } of containersOf(pod)) {
      const readOnly = volumeMounts.filter((mount) => mount.readOnly).map(({ mountPath }) => mountPath);
      for (const path of [options[CONFIG], options[BIN_DIR], '/etc/ssl/certs']) {
        expect(
          readOnly.some((mounted) => path === mounted || path?.startsWith(`${mounted}/`)),
          path,
        ).toBe(true);
      }
      for (const { name, mountPath, readOnly: isReadOnly = false } of volumeMounts) {
        expect({ mountPath, isReadOnly }).toEqual({
          mountPath: paths.get(name),
          isReadOnly: name !== 'state',
        });
      }
    }
  });

  it("shows the agent nothing of kubelet's directory but what it needs", () => {
    const paths = installed.pod.volumes?.map(({ hostPath }) => hostPath?.path);
    expect(paths).not.toContain('/var/lib/kubelet');
    expect(paths).not.toContain('/etc/srv/kubernetes');
  });

  it('has no right to the tokens of service accounts, which its plugin does not ask for', () => {
    const rules = installed.objects.filter(ClusterRole.is).flatMap((role) => role.rules ?? []);
    expect(rules.flatMap(({ resources = [] }) => resources)).not.toContain('serviceaccounts/token');
  });
});

describe('the components for credentials', { timeout: 60_000 }, () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pullwarden-kustomization-'));
  });
  afterAll(async () => rm(folder, { recursive: true, force: true }));

  async function installedWith(component: string): Promise<Installation> {
    const lines = [
      'resources:',
      `  - ${pathFrom(folder, 'overlays/service-account')}`,
      'components:',
      `  - ${pathFrom(folder, `components/${component}`)}`,
    ];
    await writeFile(join(folder, 'kustomization.yaml'), `${lines.join('\n')}\n`);
    const objects = await buildAnew(folder);
    expect(schemaProblems(objects)).toEqual([]);
    return installationOf(objects);
  }

  it("show the agent kubelet's docker config and nothing beside it, without the node's network", async () => {
    const { pod } = await installedWith('node-docker-config');
    expect(pod.hostNetwork).toBeUndefined();
    expect(pod.volumes?.find(({ name }) => name === 'docker-config')?.hostPath).toEqual({
      path: '/var/lib/kubelet/config.json',
      type: 'File',
    });
    for (const { volumeMounts } of containersOf(pod)) {
      expect(volumeMounts).toContainEqual({
        name: 'docker-config',
        mountPath: '/var/lib/kubelet/config.json',
        readOnly: true,
      });
    }
  });

  it('let it read service accounts by name and make tokens, where that is asked for', async () => {
    const { objects } = await installedWith('service-account-tokens');
    const role = objects.filter(ClusterRole.is).find(({ metadata }) => metadata?.name?.endsWith('-tokens'));
    expect(role?.rules).toEqual([
      { apiGroups: [''], resources: ['serviceaccounts'], verbs: ['get'] },
      { apiGroups: [''], resources: ['serviceaccounts/token'], verbs: ['create'] },
    ]);
  });
});
