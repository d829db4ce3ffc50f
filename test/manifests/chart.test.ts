import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageVersion } from '../../agent/version.ts';
import { chartMetadata, renderChart, type Values, valuesWith } from './chart.ts';
import { build, buildAnew, type KubernetesObject, pathFrom, repository } from './kustomize.ts';
import { schemaProblems } from './schemas.ts';

type Choice = {
  readonly name: string;
  readonly values: Values;
  readonly objects: () => Promise<KubernetesObject[]>;
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pullwarden-chart-choice-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function kustomized(overlay: string, ...components: string[]): Promise<KubernetesObject[]> {
  const lines = [
    'resources:',
    `  - ${pathFrom(folder, overlay)}`,
    'components:',
    ...components.map((name) => `  - ${pathFrom(folder, `components/${name}`)}`),
  ];
  await writeFile(join(folder, 'kustomization.yaml'), `${lines.join('\n')}\n`);
  return buildAnew(folder);
}

const CHOICES: readonly Choice[] = [
  { name: 'nothing chosen: manifests/base', values: {}, objects: () => build('base') },
  { name: 'enforce', values: { mode: 'enforce' }, objects: () => build('overlays/enforce') },
  {
    name: 'a ServiceAccount for all namespaces',
    values: { identity: 'serviceAccount' },
    objects: () => build('overlays/service-account'),
  },
  {
    name: 'a ServiceAccount for some namespaces',
    values: { identity: 'serviceAccount', secretNamespaces: ['team-a', 'team-b'] },
    objects: () => build('overlays/service-account-namespaced'),
  },
  {
    name: 'CRI-O with SELinux',
    values: { runtime: 'crio', selinux: true },
    objects: () => kustomized('base', 'crio', 'selinux'),
  },
  {
    name: 'k3s',
    values: { runtime: 'k3s', identity: 'serviceAccount' },
    objects: () => kustomized('overlays/service-account', 'k3s'),
  },
  ...['k0s', 'microk8s'].map((runtime) => ({
    name: runtime,
    values: { runtime, identity: 'serviceAccount' },
    objects: () => kustomized('overlays/service-account', runtime),
  })),
  ...(['eks', 'gke', 'aks'] as const).map((platform) => ({
    name: platform,
    values: { platform, identity: 'serviceAccount' },
    objects: () => build(`overlays/${platform}`),
  })),
];

describe.each(CHOICES)('the chart with $name', { timeout: 60_000 }, ({ values, objects }) => {
  it('is the same objects as kustomize makes', async () => {
    const rendered = await renderChart({ createNamespace: true, ...values });
    expect(schemaProblems(rendered)).toEqual([]);
    expect(comparable(rendered)).toEqual(comparable(await objects()));
  });
});

describe('the chart', { timeout: 60_000 }, () => {
  it('makes the namespace only where it is asked to', async () => {
    expect((await renderChart()).map(({ kind }) => kind)).not.toContain('Namespace');
  });

  it('names the image by its digest where there is one', async () => {
    const digest = `sha256:${'a'.repeat(64)}`;
    const image = { repository: 'registry.test/pullwarden', tag: 'v1', digest, pullPolicy: 'Always' };
    const text = JSON.stringify(await renderChart({ image }));
    expect(text).toContain(`"registry.test/pullwarden@${digest}"`);
    expect(text).not.toContain('pullwarden:v1');
  });

  it('rolls the agents over when an option changes', async () => {
    const before = JSON.stringify((await renderChart()).find(({ kind }) => kind === 'DaemonSet'));
    const options = { PULLWARDEN_FUSE_COUNT: '5', PULLWARDEN_NODE_NAME: `a'"\\ b` };
    const after = await renderChart({ options });
    expect(JSON.stringify(after.find(({ kind }) => kind === 'DaemonSet'))).not.toBe(before);
    expect(after.find(({ kind }) => kind === 'ConfigMap')).toMatchObject({ data: options });
  });

  it('is written from the manifests, and up to date', () => {
    expect(() => execFileSync(process.execPath, ['scripts/chart.ts', '--check'])).not.toThrow();
  });

  it('has the version of the package', async () => {
    expect(await chartMetadata()).toEqual({ version: packageVersion(), appVersion: packageVersion() });
  });
});

describe('values.schema.json', () => {
  it('takes the defaults and the choices, and refuses what means nothing', async () => {
    const schema: object = JSON.parse(
      await readFile(join(repository, 'manifests/chart/values.schema.json'), 'utf8'),
    );
    const accepts = new Ajv({ allowMatchingProperties: true }).compile(schema);
    for (const { values } of CHOICES)
      expect(accepts(await valuesWith(values)), JSON.stringify(values)).toBe(true);
    for (const wrong of [
      { mode: 'warn' },
      { runtime: 'k3s', identity: 'node' },
      { runtime: 'k0s', identity: 'node' },
      { platform: 'eks', identity: 'node' },
      { platform: 'openshift', identity: 'serviceAccount' },
      { options: { PULLWARDEN_MODE: 'enforce' } },
      { options: { MODE: 'enforce' } },
      { options: { PULLWARDEN_FUSE_COUNT: 5 } },
      { secretNamespaces: ['Team-A'] },
      { image: { repository: 'x', digest: 'abc' } },
      { imgae: {} },
    ]) {
      expect(accepts(await valuesWith(wrong)), JSON.stringify(wrong)).toBe(false);
    }
  });
});

/**
 * Without what the two tools do in their own ways: names with hashes, order, namespaces that Helm fills in.
 */
function comparable(objects: readonly KubernetesObject[]): unknown {
  const hashed = objects.find(({ kind }) => kind === 'ConfigMap')?.metadata?.name ?? '';
  const text = JSON.stringify(objects).replaceAll(hashed, 'pullwarden-options');
  const plain: KubernetesObject[] = JSON.parse(text);
  return plain
    .map((object) => ordered(withNamespace(object)))
    .sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)));
}

const CLUSTER_WIDE = ['Namespace', 'ClusterRole', 'ClusterRoleBinding'];

function withNamespace(object: KubernetesObject): KubernetesObject {
  const { metadata = {}, kind } = object;
  const namespace = CLUSTER_WIDE.includes(kind) ? {} : { namespace: metadata.namespace ?? 'pullwarden' };
  return { ...object, metadata: { ...metadata, ...namespace } };
}

/** Keys in order; lists of named things by their names and paths. */
function ordered(value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = value.map(ordered);
    const isNamed = items.every((item) => typeof item === 'object' && item !== null && 'name' in item);
    return isNamed ? items.sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))) : items;
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      // Helm's way to roll the pods over; kustomize's is the hash in the name.
      .filter(([key]) => key !== 'pullwarden/options')
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([key, item]) => [key, ordered(item)]),
  );
}
