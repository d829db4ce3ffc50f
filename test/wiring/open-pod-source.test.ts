import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openPodSource } from '../../agent/wiring/open-pod-source.ts';

const options = { onProblem: () => undefined };
const nowhere = { podsDirectory: undefined, kubeconfig: undefined, nodeName: 'node-a' };

beforeEach(() => {
  vi.stubEnv('KUBERNETES_SERVICE_HOST', '');
  vi.stubEnv('KUBECONFIG', '');
  vi.stubEnv('HOME', '/nowhere');
});

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('the source of pods', () => {
  it('must be named outside of a cluster', () => {
    expect(() => openPodSource(nowhere, options)).toThrow(
      expect.objectContaining({ name: 'ConfigError', reason: 'missingOption' }),
    );
  });

  it('is either a folder or the API server, not both', () => {
    const both = { ...nowhere, podsDirectory: '/pods', kubeconfig: '/kubeconfig' };
    expect(() => openPodSource(both, options)).toThrow(
      expect.objectContaining({ name: 'ConfigError', reason: 'conflict' }),
    );
  });

  it('is a folder where one is named, in a cluster as well, and then nobody takes Events', async () => {
    vi.stubEnv('KUBERNETES_SERVICE_HOST', '10.96.0.1');
    const source = openPodSource({ ...nowhere, podsDirectory: '/pods' }, options);
    expect(source.apiClient).toBeUndefined();
    await expect(source.serviceAccounts.getServiceAccount('team-a', 'builder')).rejects.toMatchObject({
      name: 'ServiceAccountError',
      reason: 'noTokens',
    });
    await source.close();
  });

  it.each([
    ['in a pod of the cluster', { variables: { KUBERNETES_SERVICE_HOST: '10.96.0.1' } }],
    ['where KUBECONFIG names a file', { variables: { KUBECONFIG: '/kubeconfig' } }],
    ['where --kubeconfig does', { variables: {}, kubeconfig: '/kubeconfig' }],
  ])('is the API server %s', async (_, { variables, kubeconfig }: Place) => {
    for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
    const source = openPodSource({ ...nowhere, kubeconfig }, options);
    expect(source.apiClient).toBeDefined();
    await source.close();
  });
});

type Place = { readonly variables: Readonly<Record<string, string>>; readonly kubeconfig?: string };
