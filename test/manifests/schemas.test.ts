import { describe, expect, it } from 'vitest';
import { APPLIED, build, type KubernetesObject, kustomizations } from './kustomize.ts';
import { schemaProblems } from './schemas.ts';

const namespace = (metadata: object, more: object = {}): KubernetesObject => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: 'pullwarden', ...metadata },
  ...more,
});

describe('the manifests', { timeout: 120_000 }, () => {
  it('are built by kustomize, every folder that has a kustomization', async () => {
    const folders = await kustomizations();
    const notApplied = folders.filter((folder) => !APPLIED.some((applied) => applied === folder));
    expect(notApplied.filter((folder) => !folder.startsWith('components/'))).toEqual(['agent']);
    for (const folder of APPLIED) expect(await build(folder), folder).not.toHaveLength(0);
  });

  it('are what the schemas of the Kubernetes API and of the Prometheus operator ask for, with no unknown field', async () => {
    const objects = await Promise.all(APPLIED.map((folder) => build(folder)));
    expect(schemaProblems(objects.flat())).toEqual([]);
  });
});

describe('the check of schemas', { timeout: 60_000 }, () => {
  it('finds an unknown field, however deep', () => {
    const misspelt = namespace({}, { spec: { finalisers: ['kubernetes'] } });
    expect(schemaProblems([misspelt])).toEqual([
      expect.stringMatching(/^Namespace pullwarden: .*finalisers.* does not exist/),
    ]);
  });

  it('finds a wrong type', () => {
    expect(schemaProblems([namespace({ labels: { team: 7 } })])).toContainEqual(
      expect.stringContaining('labels/team'),
    );
  });

  it('finds a kind that it has no schema for', () => {
    expect(schemaProblems([{ ...namespace({}), kind: 'Namespacf' }])).toEqual([
      'Namespacf pullwarden: no schema',
    ]);
  });
});
