import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ResourceQuota } from 'kubernetes-models/v1';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OPTION_LIST, variableOf } from '../../agent/config/options.ts';
import { resolveConfig } from '../../agent/config/resolve.ts';
import { packageVersion } from '../../agent/version.ts';
import { containersOf, environmentOf, type Installation, installationOf } from './installation.ts';
import { build, buildAnew, INSTALLATIONS, pathFrom, repository } from './kustomize.ts';
import { schemaProblems } from './schemas.ts';

const dockerfile = await readFile(join(repository, 'Dockerfile'), 'utf8');

describe.each(INSTALLATIONS)('manifests/%s', { timeout: 60_000 }, (folder) => {
  let installed: Installation;
  beforeAll(async () => {
    installed = installationOf(await build(folder));
  });

  it('is complete: namespace, account, quota, options, agent and network policy', () => {
    const kinds = new Set(installed.objects.map(({ kind }) => kind));
    for (const kind of ['Namespace', 'ServiceAccount', 'ResourceQuota', 'ConfigMap', 'NetworkPolicy']) {
      expect(kinds).toContain(kind);
    }
    const namespaces = installed.objects.filter(({ metadata }) => metadata?.namespace === 'pullwarden');
    expect(namespaces.map(({ kind }) => kind)).toContain('DaemonSet');
  });

  it('sets only options that the agent has, to values that it takes', () => {
    const { agent, doctor, options } = installed;
    const known = new Set(OPTION_LIST.map(({ name }) => variableOf(name)));
    for (const container of [agent, doctor]) {
      const env = environmentOf(container, options);
      const names = Object.keys(env).filter((name) => name !== 'SQLITE_TMPDIR');
      expect(names.filter((name) => !known.has(name))).toEqual([]);
      expect(() => resolveConfig({ flags: {}, env })).not.toThrow();
      expect(container.envFrom).toBeUndefined();
    }
    expect(agent.args).toEqual(['agent']);
  });

  it('takes every option from the map of options, and nothing else that somebody puts into it', () => {
    const { agent, doctor, daemonSet, objects, options } = installed;
    const map = objects.find(({ kind }) => kind === 'ConfigMap')?.metadata?.name;
    const settable = OPTION_LIST.filter(({ name, hidden }) => !hidden && name !== 'nodeName');
    const set = Object.fromEntries(settable.map(({ name }) => [variableOf(name), 'set']));
    for (const container of [agent, doctor]) {
      const injected = { ...set, NODE_OPTIONS: '--inspect', LD_PRELOAD: '/x.so', PATH: '/x' };
      const own = environmentOf(container, {});
      expect(environmentOf(container, injected)).toEqual({ ...own, ...set });
      const maps = (container.env ?? []).flatMap(({ valueFrom }) => valueFrom?.configMapKeyRef ?? []);
      expect(maps).toEqual(
        settable.map(({ name }) => ({ name: map, key: variableOf(name), optional: true })),
      );
    }
    expect(Object.keys(options).filter((name) => !(name in set))).toEqual([]);
    expect(JSON.stringify(daemonSet)).not.toContain('envFrom');
  });

  it('tells the agent its node and which pod it is, so that it never stops itself', () => {
    const { agent, options } = installed;
    expect(resolveConfig({ flags: {}, env: environmentOf(agent, options) })).toMatchObject({
      nodeName: 'of-spec.nodename',
      podUid: 'of-metadata.uid',
      podName: 'of-metadata.name',
      podNamespace: 'of-metadata.namespace',
    });
  });

  it('only audits unless its name says that it enforces', () => {
    const { agent, options } = installed;
    const { mode } = resolveConfig({ flags: {}, env: environmentOf(agent, options) });
    expect(mode).toBe(['overlays/enforce', 'overlays/kind'].includes(folder) ? 'enforce' : 'audit');
  });

  it('exempts kube-system and its own namespace', () => {
    const { agent, options } = installed;
    const { exemptNamespaces } = resolveConfig({ flags: {}, env: environmentOf(agent, options) });
    expect([...exemptNamespaces].sort()).toEqual(['kube-system', 'pullwarden']);
  });

  it('runs on every Linux node, before the tenants, and may do so in clusters that guard the priority', () => {
    const { pod, objects } = installed;
    expect(pod.tolerations).toEqual([{ operator: 'Exists' }]);
    expect(pod.nodeSelector).toEqual({ 'kubernetes.io/os': 'linux' });
    expect(pod.priorityClassName).toBe('system-node-critical');
    const [quota] = objects.filter(ResourceQuota.is);
    expect(quota?.spec?.scopeSelector?.matchExpressions).toEqual([
      { scopeName: 'PriorityClass', operator: 'In', values: ['system-node-critical'] },
    ]);
  });

  it('never has two agents on a node, and rolls out to a part of the nodes at a time', () => {
    expect(installed.daemonSet.spec?.updateStrategy).toEqual({
      type: 'RollingUpdate',
      rollingUpdate: { maxUnavailable: '10%', maxSurge: 0 },
    });
  });

  it('asks the process whether it lives and the parts whether it is ready, and does not mix them up', () => {
    const { livenessProbe, readinessProbe, startupProbe } = installed.agent;
    expect(livenessProbe?.httpGet).toEqual({ path: '/healthz', port: 'metrics' });
    expect(startupProbe?.httpGet).toEqual({ path: '/healthz', port: 'metrics' });
    expect(readinessProbe?.httpGet).toEqual({ path: '/readyz', port: 'metrics' });
    const { periodSeconds = 10, failureThreshold = 3 } = livenessProbe ?? {};
    expect(periodSeconds * failureThreshold).toBeGreaterThanOrEqual(120);
  });

  it('probes and offers the port that the agent listens on, at all of its addresses', () => {
    const { agent, options } = installed;
    const { listenAddress } = resolveConfig({ flags: {}, env: environmentOf(agent, options) });
    expect(agent.ports).toEqual([{ name: 'metrics', containerPort: 9468, protocol: 'TCP' }]);
    expect(listenAddress).toEqual({ host: '', port: 9468 });
  });

  it('bounds memory, and not the CPU', () => {
    for (const { resources } of containersOf(installed.pod)) {
      expect(resources?.limits).toEqual({ memory: '256Mi' });
      expect(resources?.requests).toEqual({ cpu: '20m', memory: '100Mi' });
    }
  });

  it("runs the image's own agent, and doctor before it in a way that ends well in any case", () => {
    const { agent, doctor } = installed;
    const [, entrypoint = '[]'] = /^ENTRYPOINT (\[.*\])$/m.exec(dockerfile) ?? [];
    const [node, ...rest]: string[] = JSON.parse(entrypoint);
    expect(agent.command).toBeUndefined();
    expect(rest).toContain('--disable-sigusr1');
    expect(doctor.command?.slice(0, 3)).toEqual([node, '--disable-sigusr1', '--eval']);
    expect(doctor.command?.[3]).toContain(`['--disable-sigusr1', '${rest.at(-1)}', 'doctor']`);
    expect(doctor.command?.[3]).not.toContain('exit');
    expect(doctor.image).toBe(agent.image);
  });

  it('reaches the API server without the DNS of the cluster, and is given no service links', () => {
    expect(installed.pod).toMatchObject({ dnsPolicy: 'Default', enableServiceLinks: false });
  });
});

describe("a platform team's own kustomization", { timeout: 60_000 }, () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pullwarden-kustomization-'));
  });
  afterAll(async () => rm(folder, { recursive: true, force: true }));

  const write = async (...lines: string[]): Promise<void> => {
    await writeFile(join(folder, 'kustomization.yaml'), `${lines.join('\n')}\n`);
  };

  it('puts overlay, components, registry and options together', async () => {
    await write(
      'resources:',
      `  - ${pathFrom(folder, 'overlays/service-account')}`,
      'components:',
      ...['enforce', 'crio', 'selinux'].map((name) => `  - ${pathFrom(folder, `components/${name}`)}`),
      'images:',
      '  - name: pullwarden',
      '    newName: registry.test:5000/platform/pullwarden',
      'configMapGenerator:',
      '  - name: pullwarden-options',
      '    namespace: pullwarden',
      '    behavior: merge',
      '    literals: [PULLWARDEN_ON_UNVERIFIABLE=allow]',
    );
    const { agent, doctor, pod, options, objects } = installationOf(await buildAnew(folder));
    expect(schemaProblems(objects)).toEqual([]);
    expect([agent.image, doctor.image]).toEqual(
      Array(2).fill(`registry.test:5000/platform/pullwarden:${packageVersion()}`),
    );
    expect(options).toMatchObject({ PULLWARDEN_MODE: 'enforce', PULLWARDEN_ON_UNVERIFIABLE: 'allow' });
    expect(pod.securityContext?.seLinuxOptions).toEqual({ type: 'spc_t' });
    expect(pod.automountServiceAccountToken).toBe(true);
  });

  it.each([
    ['crio', '/run/crio'],
    ['k3s', '/run/k3s/containerd'],
    ['k0s', '/run/k0s'],
    ['microk8s', '/var/snap/microk8s/common/run'],
  ])('takes the socket directory of %s instead of containerd’s', async (component, path) => {
    await write(
      'resources:',
      `  - ${pathFrom(folder, 'overlays/service-account')}`,
      'components:',
      `  - ${pathFrom(folder, `components/${component}`)}`,
    );
    const { pod } = installationOf(await buildAnew(folder));
    expect(pod.volumes?.find(({ name }) => name === 'runtime')?.hostPath?.path).toBe(path);
    for (const { volumeMounts } of containersOf(pod)) {
      expect(volumeMounts?.map(({ mountPath }) => mountPath).sort()).toEqual(
        [path, '/var/lib/pullwarden', '/var/run/nri'].sort(),
      );
    }
  });
});

describe('docs/installing.md', () => {
  it('names only manifests that there are', async () => {
    const text = await readFile(join(repository, 'docs/installing.md'), 'utf8');
    const named = [...text.matchAll(/manifests\/[\w/-]+/g)].map(([path]) => path);
    expect(named.length).toBeGreaterThan(10);
    for (const path of named) {
      const file = path.startsWith('manifests/chart')
        ? 'manifests/chart/Chart.yaml'
        : `${path}/kustomization.yaml`;
      expect(existsSync(join(repository, file)), path).toBe(true);
    }
  });

  it('puts the registry into every image, with a line that finds them all', async () => {
    const [, found = '', put = ''] =
      /kustomize manifests\/base \| sed 's\|(.+?)\|(.+?)\|'/.exec(
        await readFile(join(repository, 'docs/installing.md'), 'utf8'),
      ) ?? [];
    const { agent, doctor } = installationOf(await build('base'));
    for (const { image } of [agent, doctor]) {
      expect(`        image: ${image}`.replace(new RegExp(found), put)).toBe(
        `        image: REGISTRY/pullwarden:${packageVersion()}`,
      );
    }
  });
});
